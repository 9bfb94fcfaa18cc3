"""The checker: after a run of faults it reads SQL, Redis streams, executor journals, processes and the object store of one
installation, and says in one verdict what became of the runs that were accepted.

    print(examine(container, run_ids))

It only reads. What a log must look like is `app.services.log_check`'s knowledge.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields

from app.container import Container
from app.domain import storage
from app.domain.events import EventType
from app.errors import AppError
from app.models import AgentRun, RunEvent, SessionWorker, Snapshot
from app.services import log_check
from tests.faults.kit import evidence

FOUND_ASIDE = "found"
"""The reason of snapshots that are kept beside the line of newest ones, on purpose."""

_GAPS = ("gap", "count", "jump", "marker", "no_marker", "end")
_DOUBLES = ("double", "old_epoch", "after_end", "epoch_order")
Sorted = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, each thing with where it is; and, for the table, how much was looked at."""

    runs: int
    events: int
    starts: int
    executor_deaths: int
    """Attempts whose journal says that their executor died."""
    lost: tuple[str, ...] = ()
    """Accepted, but without a row, or not at its end."""
    failed: tuple[str, ...] = ()
    """At its end, but not as expected."""
    finished_twice: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    doubled: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()
    """SQL, Redis, clients or a message's parts tell different stories."""
    restarted: tuple[str, ...] = ()
    """More agents were started than dead executors explain."""
    unseen: tuple[str, ...] = ()
    """Its journal is gone, so nobody knows how often its agent was started."""
    stale_pushes: tuple[str, ...] = ()
    """Two snapshots follow the same one: somebody saved who had lost the sandbox."""
    leftover: tuple[str, ...] = ()
    missing_blobs: tuple[str, ...] = ()

    @property
    def wrong(self) -> dict[str, tuple[str, ...]]:
        """Return only what is wrong."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if isinstance(value, tuple) and value}

    def __str__(self) -> str:
        head = f"{self.runs} runs, {self.events} events, {self.starts} agents started, {self.executor_deaths} executors died"
        counts = [f"{field.name} {len(getattr(self, field.name))}" for field in fields(self)[4:]]
        details = [f"  {name}: {item}" for name, items in self.wrong.items() for item in items[:20]]
        return "\n".join([head, ", ".join(counts), *details])


@dataclass(frozen=True, slots=True)
class Scope:
    """What to hold the installation to. `run_ids` are the runs that were accepted; `expected` the states they may end in."""

    run_ids: Sequence[str]
    expected: Sequence[str] = ("succeeded",)
    transcripts: Callable[[str], Sequence[Sequence[log_check.Envelope]]] = lambda _: ()


def examine(container: Container, scope: Scope) -> Verdict:
    """Look at everything and return the verdict."""
    rows = {row.id: row for row in AgentRun.select().where(AgentRun.id.in_(list(scope.run_ids)))}
    found: Sorted = {field.name: [] for field in fields(Verdict)[4:]}
    starts = deaths = 0
    for run_id in scope.run_ids:
        run = rows.get(run_id)
        if run is None:
            found["lost"].append(f"{run_id} has no row")
            continue
        _judge_end(run, scope, found)
        _judge_log(container, run, scope, found)
        begun, died = _judge_starts(container, run, found)
        starts, deaths = starts + begun, deaths + died
    sessions = sorted({run.session_id for run in rows.values()})
    _judge_processes(container, found)
    for session_id in sessions:
        _judge_objects(container, session_id, found)
    found["missing_blobs"] += _event_blobs(container, list(rows.values()))
    events = RunEvent.select().where(RunEvent.run_id.in_(list(rows))).count()
    return Verdict(len(scope.run_ids), events, starts, deaths, **{name: tuple(each) for name, each in found.items()})


def _judge_end(run: AgentRun, scope: Scope, found: Sorted) -> None:
    if run.finished_at is None:
        found["lost"].append(f"{run.id} is {run.status} (epoch {run.epoch}, held by {run.lease_owner})")
    elif run.status not in scope.expected:
        found["failed"].append(f"{run.id} {run.status}: {run.failure_code} {run.failure_message}")


def _judge_log(container: Container, run: AgentRun, scope: Scope, found: Sorted) -> None:
    for finding in log_check.check(run.id, container.stream, scope.transcripts(run.id)):
        where = f"{run.id} {finding.where} {finding.code} at {finding.seq}: {finding.message}"
        kind = "gaps" if finding.code in _GAPS else "doubled" if finding.code in _DOUBLES else "differing"
        found[kind].append(where)
    rows = RunEvent.select(RunEvent.type, RunEvent.src).where(RunEvent.run_id == run.id)
    kinds = Counter((row.type, int(row.src.partition(":")[0])) for row in rows)
    for kind in (EventType.RUN_FINISHED, EventType.RUN_CLOSED):
        times = sum(count for (name, _), count in kinds.items() if name == kind)
        if times > 1:
            found["finished_twice"].append(f"{run.id} has {kind} {times} times")
    for (name, attempt), times in kinds.items():
        if name == EventType.RUN_STARTED and times > 1:
            found["doubled"].append(f"{run.id} began attempt {attempt} {times} times")


def _judge_starts(container: Container, run: AgentRun, found: Sorted) -> tuple[int, int]:
    """Count the agents that were started for the run, and the attempts that ended because their executor died."""
    kept = evidence.journals(container, run)
    starts = sum(record.kind == "spawn" for journal in kept for record in journal)
    ends = [record.json()["exit"] for journal in kept for record in journal if record.kind == "exit"]
    deaths = sum(end == "executor_lost" for end in ends)
    if len(kept) < run.attempt:
        found["unseen"].append(f"{run.id} has {len(kept)} journals of {run.attempt} attempts")
    if starts > 1 + deaths:
        found["restarted"].append(f"{run.id}: {starts} agents in {run.attempt} attempts, which ended {ends}")
    return starts, deaths


def _judge_processes(container: Container, found: Sorted) -> None:
    is_open = AgentRun.select(AgentRun.session_id).where(AgentRun.finished_at.is_null())
    for left in evidence.leftovers(container, {run.session_id for run in is_open}):
        found["leftover"].append(f"{left.session_id} {left.pid} {left.command}")


def _judge_objects(container: Container, session_id: str, found: Sorted) -> None:
    worker = SessionWorker.get_or_none(SessionWorker.session_id == session_id)
    rows = list(Snapshot.select().where(Snapshot.session_id == session_id))
    if worker is not None and worker.snapshot_id is not None and worker.snapshot_id not in {row.id for row in rows}:
        found["missing_blobs"].append(f"{session_id}: its newest snapshot {worker.snapshot_id} has no row")
    parents = Counter(row.parent_id for row in rows if row.reason != FOUND_ASIDE)
    found["stale_pushes"] += [f"{session_id}: {n} snapshots follow {parent}" for parent, n in parents.items() if n > 1]
    wanted: dict[str, str] = {}
    for row in rows:
        try:
            wanted |= dict.fromkeys(container.snapshots.manifest(row).hashes(), row.id)
        except AppError as error:
            found["missing_blobs"].append(f"{row.id}: {error.message}")
    for sha256, snapshot_id in wanted.items():
        key = storage.blob_key(rows[0].tenant_id, session_id, sha256)
        if (problem := _problem(container, key, sha256)) is not None:
            found["missing_blobs"].append(f"{snapshot_id}: {sha256[:12]} {problem}")


def _event_blobs(container: Container, rows: Sequence[AgentRun]) -> Iterator[str]:
    """Say which blobs that events name are not in the store as they were."""
    sessions = {run.id: run for run in rows}
    results = RunEvent.select().where(RunEvent.run_id.in_(list(sessions)), RunEvent.type == EventType.TOOL_RESULT)
    for event in results:
        blob_id = event.data.get("blobId")
        if blob_id is not None:
            run = sessions[event.run_id]
            problem = _problem(container, storage.blob_key(run.tenant_id, run.session_id, blob_id), blob_id)
            if problem is not None:
                yield f"{run.id} event {event.seq}: {blob_id[:12]} {problem}"


def _problem(container: Container, key: str, sha256: str) -> str | None:
    try:
        with closing(container.store.get(key)) as stream:
            return None if hashlib.file_digest(stream, "sha256").hexdigest() == sha256 else "is not what was saved"
    except AppError as error:
        return error.message
