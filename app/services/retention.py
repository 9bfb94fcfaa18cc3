"""Retention: what long-unused and archived sessions leave behind. Off unless `PADDOCK_RETENTION_DAYS` is set.

Of a session that nobody has used for so long (or that was archived so long ago), without an open run and with its sandbox at rest, go:
the logs of its runs that ended as long ago, its older snapshots, and all content that nothing names any more. What stays: the rows
of its runs with their final texts and usage, its newest snapshot, what it was seeded with, and what was found and kept aside. The
worker's lease is held meanwhile, so nothing is saved or restored at the same time. Objects go first, then in one transaction the
rows that named them: whoever is cut off leaves rows from which the next goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from app import db
from app.config import Settings
from app.domain import storage
from app.domain.events import EventType
from app.domain.worker_state import WorkerStatus
from app.errors import AppError, LeaseLost
from app.log import logger
from app.models import AgentRun, ChatSession, RunCommand, RunEvent, SessionWorker, Snapshot
from app.services.snapshots import Snapshots
from app.services.worker_lease import WorkerLeases

DAY_SECONDS = 86_400.0
SESSIONS = 20
OBJECTS = 5000
RUNS = 50
"""How much one pass takes up at most; runs and objects of each session. What is left comes with the next pass."""
KEPT_REASONS = ("seed", "found")
_AT_REST = (str(WorkerStatus.CREATED), str(WorkerStatus.STOPPED), str(WorkerStatus.DELETED))

# Sessions long unused or archived, at rest, of which something can go.
_CANDIDATES = """
SELECT c.id FROM chat_sessions c LEFT JOIN session_workers w ON w.session_id = c.id
WHERE (c.updated_at < ? OR c.archived_at < ?)
  AND (w.status IS NULL OR w.status IN ('created', 'stopped', 'deleted'))
  AND NOT EXISTS (SELECT 1 FROM agent_runs r WHERE r.session_id = c.id AND r.finished_at IS NULL)
  AND (EXISTS (SELECT 1 FROM agent_runs r WHERE r.session_id = c.id AND r.finished_at < ?
               AND r.log_removed_at IS NULL AND r.stream_closed_at IS NOT NULL)
       OR EXISTS (SELECT 1 FROM snapshots s WHERE s.session_id = c.id AND s.created_at < ?
                  AND s.reason NOT IN ('seed', 'found') AND (w.snapshot_id IS NULL OR s.id <> w.snapshot_id)
                  AND EXISTS (SELECT 1 FROM snapshots newer WHERE newer.session_id = c.id AND newer.id > s.id)))
ORDER BY c.updated_at, c.id
LIMIT ?
"""


@dataclass(slots=True)
class _Did:
    """What a pass came to."""

    counts: dict[str, int] = field(
        default_factory=lambda: {"sessions": 0, "logs": 0, "snapshots": 0, "objects": 0, "failed": 0}
    )

    def add(self, name: str, amount: int = 1) -> None:
        self.counts[name] += amount


class Retention:
    """The passes over this installation's sessions."""

    def __init__(self, settings: Settings, snapshots: Snapshots) -> None:
        self._days = settings.retention_days
        self._snapshots, self._store = snapshots, snapshots.store
        self._leases = WorkerLeases(settings.owner, settings.lease_duration)

    def sweep(self, now: float) -> Mapping[str, int]:
        """Let go of what had its time; return `{sessions, logs, snapshots, objects, failed}`."""
        did = _Did()
        if self._days is None:
            return did.counts
        cutoff = now - self._days * DAY_SECONDS
        for session_id in _candidates(cutoff):
            try:
                with self._at_rest(session_id) as guard:
                    if guard is not None:
                        self._thin(session_id, cutoff, guard, did)
                        did.add("sessions")
            except LeaseLost:
                continue  # somebody uses the session again
            except (AppError, OSError) as error:
                did.add("failed")
                logger.warning("session keeps what could go", session_id=session_id, error=str(error))
        return did.counts

    @contextmanager
    def _at_rest(self, session_id: str) -> Iterator[Callable[[], None] | None]:
        """Hold a session's sandbox where it does not run; yields what to ask before each effect, None where it is in use."""
        worker = SessionWorker.get_or_none(SessionWorker.session_id == session_id)
        if worker is None:
            yield lambda: _require_idle(session_id)
            return
        held = self._leases.try_hold(session_id)
        if held is None:
            yield None
            return

        def guard() -> None:
            held.lease.require()
            _require_idle(session_id)

        with self._leases.keeping(held):
            yield guard if held.worker.status in _AT_REST else None

    def _thin(self, session_id: str, cutoff: float, guard: Callable[[], None], did: _Did) -> None:
        guard()
        session = ChatSession.get_by_id(session_id)
        old_runs = _old_runs(session_id, cutoff)
        old_snapshots = _old_snapshots(session_id, cutoff)
        if not self._delete_content(session, old_runs, old_snapshots, guard, did):
            return  # more of it than one pass takes
        for row in old_snapshots:
            guard()
            self._store.delete(storage.diff_key(row.tenant_id, session_id, row.id))
            self._store.delete(row.object_key)
            did.add("objects")
        guard()
        _delete_rows(old_runs, old_snapshots)
        did.add("logs", len(old_runs))
        did.add("snapshots", len(old_snapshots))

    def _delete_content(
        self,
        session: ChatSession,
        old_runs: Sequence[AgentRun],
        old_snapshots: Sequence[Snapshot],
        guard: Callable[[], None],
        did: _Did,
    ) -> bool:
        """Delete the blobs that nothing names which stays; False where some are left."""
        named = self._named(session.id, {run.id for run in old_runs}, {row.id for row in old_snapshots})
        left = OBJECTS
        for sha256 in sorted(self._snapshots.stored_hashes(session.tenant_id, session.id) - named):
            if left == 0:
                return False
            guard()
            self._store.delete(storage.blob_key(session.tenant_id, session.id, sha256))
            did.add("objects")
            left -= 1
        return True

    def _named(self, session_id: str, old_runs: set[str], old_snapshots: set[str]) -> set[str]:
        """Return the hashes that a snapshot or a log names which stays. Raises where a manifest cannot be read: then nothing goes."""
        named: set[str] = set()
        for row in list(Snapshot.select().where(Snapshot.session_id == session_id)):
            if row.id not in old_snapshots:
                named |= self._snapshots.manifest(row).hashes()
        kept = AgentRun.select(AgentRun.id).where(AgentRun.session_id == session_id)
        for run in [run.id for run in kept if run.id not in old_runs]:
            events = RunEvent.select(RunEvent.data).where(
                RunEvent.run_id == run, RunEvent.type == EventType.TOOL_RESULT
            )
            named |= {event.data["blobId"] for event in events if event.data.get("blobId")}
        return named


def _candidates(cutoff: float) -> list[str]:
    database: Any = db.proxy.obj
    rows = database.execute_sql(_CANDIDATES.replace("?", database.param), (cutoff,) * 4 + (SESSIONS,))
    return [row[0] for row in rows.fetchall()]


def _require_idle(session_id: str) -> None:
    """Raise LeaseLost where a run has come."""
    is_open = (AgentRun.session_id == session_id) & AgentRun.finished_at.is_null()
    if AgentRun.select().where(is_open).exists():
        raise LeaseLost(f"session {session_id} has an open run")


def _old_runs(session_id: str, cutoff: float) -> list[AgentRun]:
    query = AgentRun.select().where(
        AgentRun.session_id == session_id,
        AgentRun.finished_at < cutoff,
        AgentRun.log_removed_at.is_null(),
        AgentRun.stream_closed_at.is_null(False),
    )
    return list(query.order_by(AgentRun.session_seq).limit(RUNS))


def _old_snapshots(session_id: str, cutoff: float) -> list[Snapshot]:
    """Return the snapshots that may go: never the newest, nor one that the sandbox's row or its receipt names."""
    rows = list(Snapshot.select().where(Snapshot.session_id == session_id).order_by(Snapshot.id))
    worker = SessionWorker.get_or_none(SessionWorker.session_id == session_id)
    kept: set[str | None] = {row.id for row in rows[-1:]}
    if worker is not None:
        kept |= {worker.snapshot_id, (worker.receipt or {}).get("snapshotId")}
    return [row for row in rows if row.created_at < cutoff and row.reason not in KEPT_REASONS and row.id not in kept]


def _delete_rows(old_runs: Sequence[AgentRun], old_snapshots: Sequence[Snapshot]) -> None:
    run_ids = [run.id for run in old_runs]
    with db.transaction():
        if run_ids:
            AgentRun.update(log_removed_at=db.clock()).where(AgentRun.id.in_(run_ids)).execute()
            db.delete_rows(RunEvent, RunEvent.run_id.in_(run_ids))
            db.delete_rows(RunCommand, RunCommand.run_id.in_(run_ids))
        if old_snapshots:
            db.delete_rows(Snapshot, Snapshot.id.in_([row.id for row in old_snapshots]))
