"""Session workers: the life cycle of the sandbox that serves a session. SPEC §2, ARCHITECTURE decisions 9 and 10.

This is the door; its operations are in `worker_start` and `worker_stop`, the rows in `worker_rows`, what the scheduler asks for in
`worker_sweeps`. Each operation holds the worker's own lease; a process that dies in one leaves a row from which the next goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

from app import ids
from app.config import Settings
from app.domain import storage
from app.domain.worker_state import SyncStatus, WorkerStatus, sync_state
from app.errors import AppError, Unavailable
from app.models import ChatSession, SessionWorker
from app.ports import Bell, Executor, ExecutorError, Sandboxes
from app.services import worker_rows, worker_sweeps
from app.services.counting import Counters
from app.services.seeding import Seeding
from app.services.snapshots import Order, Saved, Snapshots
from app.services.worker_lease import Held, WorkerLeases, busy
from app.services.worker_parts import WorkerParts, connect, save, text_of
from app.services.worker_start import Ready, StartOrder, WorkerStart, unheard
from app.services.worker_stop import WorkerStop, not_active
from app.services.worker_sweeps import SweepResult

__all__ = ["Ready", "SessionWorkers", "Wish", "view"]

Wish = Literal["activate", "stop", "sync", "remove"]
LONGEST_WAIT_SECONDS = 60.0
"""For another operation on the same sandbox; at least two leases, so that one whose holder died is waited out."""


class SessionWorkers:
    """The sandboxes of all sessions. `providers_mounts` is what agents need to see in them, path inside -> path outside."""

    def __init__(
        self,
        settings: Settings,
        sandboxes: Sandboxes,
        snapshots: Snapshots,
        bell: Bell,
        providers_mounts: Mapping[str, str],
    ) -> None:
        self._bell = bell
        self._leases = WorkerLeases(settings.owner, settings.lease_duration)
        self._parts = WorkerParts(
            settings,
            sandboxes,
            snapshots,
            Seeding(snapshots.store, settings.repo_hosts),
            providers_mounts,
            self._leases,
        )
        self._wait_seconds = max(LONGEST_WAIT_SECONDS, 2 * settings.lease_duration)

    def counting(self, counters: Counters) -> Self:
        """Count from now on how saves go; returns itself."""
        self._parts = replace(self._parts, counters=counters)
        return self

    # --- for the driver of a run -----------------------------------------------------------------------------------------

    def ensure_running(
        self,
        session: ChatSession,
        *,
        labels: Mapping[str, str],
        on_phase: Callable[[str], None] = unheard,
    ) -> Ready:
        """Return the session's sandbox, started and filled where it does not run. Raises Invalid where its repository cannot be
        cloned, Conflict `snapshot_damaged`, Unavailable (store, or `worker_busy` for too long), ExecutorError, LeaseLost; the
        worker is in `error` then, and the next call goes on. `on_phase` may raise to give up; it hears `waiting` again and again."""
        worker_rows.ensure(session)
        order = StartOrder(session, labels, on_phase)
        end, pause = time.monotonic() + self._wait_seconds, 0.01
        while True:
            ready = self._reuse(session.id)
            if ready is not None:
                return ready
            held = self._leases.try_hold(session.id)
            if held is not None:
                with self._leases.keeping(held):
                    return WorkerStart(self._parts, held, order).run()
            if time.monotonic() >= end:
                raise busy()
            on_phase("waiting")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def sync(self, session_id: str, reason: str, run_id: str | None = None, *, ended: bool = False) -> Saved:
        """Save the workspace of a running sandbox now; with `ended` (the agent process has exited) the agent's own state too. A failure
        is noted in the row and raised (Conflict `worker_not_active`, Unavailable, ExecutorError); the sandbox stays."""
        with self._leases.hold(session_id, wait_seconds=self._wait_seconds) as held:
            if held.worker.status != WorkerStatus.RUNNING:
                raise not_active()
            order = Order(reason, run_id=run_id, guard=held.lease.require)
            host = connect(self._parts.sandboxes, held.worker)
            if host is None:
                worker_rows.sync_failed(held.worker, "The sandbox does not answer.")
                raise Unavailable(
                    "sandbox_lost", "The sandbox does not answer.", remedy="Send the next message, or activate it."
                )
            return save(self._parts, host, held.worker, order if ended else replace(order, roots=("workspace",)))

    def connect(self, session_id: str, *, writing: bool = False) -> Executor | None:
        """Return the executor of a running sandbox, None where none runs. Starts nothing. One that stops takes no writes any more."""
        worker = worker_rows.find(session_id)
        admitted = (WorkerStatus.RUNNING,) if writing else (WorkerStatus.RUNNING, WorkerStatus.STOPPING)
        if worker is None or worker.status not in admitted:
            return None
        return connect(self._parts.sandboxes, worker)

    def touch(self, session_id: str) -> None:
        """Somebody uses the sandbox: it is not idle."""
        worker_rows.touch(session_id)

    # --- for the maintenance worker --------------------------------------------------------------------------------------

    def stop(self, session_id: str, *, wait_seconds: float | None = None) -> Mapping[str, Any]:
        """Save everything and stop the sandbox; return the receipt `{generation, startedAt, snapshotId}`. One that died is salvaged
        first. Conflict `run_active`, `worker_not_active`, `worker_vanished`, `workspace_unstable`; Unavailable; ExecutorError."""
        with self._hold(session_id, wait_seconds) as held:
            worker_rows.require_no_active_run(session_id)
            died = held.worker.status in (WorkerStatus.ERROR, WorkerStatus.STARTING)
            return WorkerStop(self._parts, self._recover(held) if died else held).stop()

    def remove(self, session_id: str, *, wait_seconds: float | None = None) -> None:
        """Delete a stopped sandbox's files. Conflict `receipt_missing` or `snapshot_incomplete` unless all can be brought back."""
        with self._hold(session_id, wait_seconds) as held:
            WorkerStop(self._parts, held).remove()

    def activate(self, session_id: str) -> Ready:
        """Start the sandbox because a person wants it."""
        return self.ensure_running(ChatSession.get_by_id(session_id), labels={"x-session-id": session_id})

    def wish(self, session_id: str, kind: Wish, bell: Bell | None = None) -> None:
        """Write down what a person wants of the sandbox and ring; the maintenance worker grants it, or says why not in `wishError`."""
        worker_rows.ensure(ChatSession.get_by_id(session_id))
        worker_rows.set_wish(session_id, kind)
        (bell or self._bell).ring_session_worker(session_id)

    def grant_wishes(self, limit: int = 20) -> int:
        """Do what was wished, oldest first; returns how many wishes were granted or refused."""
        return sum(self._grant(worker) for worker in worker_sweeps.list_wishes(limit))

    def stop_idle(self, now: float) -> SweepResult:
        """Stop the sandboxes that no run has used for `PADDOCK_IDLE_SECONDS`; go on with stops that were cut off."""
        self._reap()
        candidates = worker_sweeps.list_idle(now - self._parts.settings.idle_seconds)
        return worker_sweeps.apply(candidates, lambda session_id: self.stop(session_id, wait_seconds=0))

    def remove_stopped(self, now: float) -> SweepResult:
        """Remove the sandboxes that have been stopped for `PADDOCK_REMOVE_AFTER_SECONDS`; go on with removals that were cut off."""
        candidates = worker_sweeps.list_long_stopped(now - self._parts.settings.remove_after_seconds)
        return worker_sweeps.apply(candidates, lambda session_id: self.remove(session_id, wait_seconds=0))

    def sync_stale(self, now: float) -> SweepResult:
        """Sync again where the last sync failed or was cut off."""
        candidates = worker_sweeps.list_stale_syncs(now - self._parts.settings.lease_duration)
        return worker_sweeps.apply(candidates, lambda session_id: self.sync(session_id, "stale"))

    # --- inside ------------------------------------------------------------------------------------------------------------

    def _hold(self, session_id: str, wait_seconds: float | None) -> Any:
        return self._leases.hold(session_id, wait_seconds=self._wait_seconds if wait_seconds is None else wait_seconds)

    def _reuse(self, session_id: str) -> Ready | None:
        """Take a running sandbox as it is, without its lease: saving and reading may go on beside a run."""
        worker = worker_rows.get(session_id)
        if worker.status != WorkerStatus.RUNNING:
            return None
        executor = connect(self._parts.sandboxes, worker)
        used = worker_rows.reuse(worker) if executor is not None else None
        if executor is None or used is None:
            return None
        return Ready(executor, used, "reused", used.snapshot_id)

    def _recover(self, held: Held) -> Held:
        """Bring a sandbox that died, or whose start was cut off, to where it can be stopped by the book."""
        if not worker_rows.may_hold_unsaved(held.worker):
            held.lease.require()
            self._parts.sandboxes.stop(held.worker.session_id, held.worker.generation)
            if held.worker.status == WorkerStatus.STARTING:
                worker_rows.mark_error(held.worker, "The start was interrupted.")
            raise not_active()
        session = ChatSession.get_by_id(held.worker.session_id)
        ready = WorkerStart(self._parts, held, StartOrder(session, {}, unheard)).run()
        return Held(ready.worker, held.lease)

    def _grant(self, worker: SessionWorker) -> bool:
        """False where somebody else is at it: the wish stays until the next bell."""
        if not worker_rows.is_still_wished(worker):
            return False
        acts: dict[str, Callable[[str], object]] = {
            "activate": self.activate,
            "stop": lambda session_id: self.stop(session_id, wait_seconds=0),
            "sync": lambda session_id: self.sync(session_id, "wish"),
            "remove": lambda session_id: self.remove(session_id, wait_seconds=0),
        }
        error = None
        try:
            acts[str(worker.wish)](worker.session_id)
        except AppError as refused:
            if refused.code == "worker_busy":
                return False
            error = f"{refused.code}: {refused.message}"
        except (ExecutorError, OSError) as failed:
            answered = isinstance(failed, ExecutorError) and failed.kind == "http"
            error = f"{'sandbox_refused' if answered else 'sandbox_lost'}: {text_of(failed)}"
        worker_rows.clear_wish(worker, error)
        return True

    def _reap(self) -> None:
        """End sandboxes that still run although their row says they are at rest: a process died between the two."""
        for session_id in self._parts.sandboxes.list_running():
            worker = worker_rows.find(session_id)
            if worker is None or worker.status not in (WorkerStatus.STOPPED, WorkerStatus.DELETED):
                continue
            held = self._leases.try_hold(session_id)
            if held is None:
                continue
            with self._leases.keeping(held):
                if held.worker.status in (WorkerStatus.STOPPED, WorkerStatus.DELETED):
                    self._parts.sandboxes.stop(session_id, held.worker.generation)


def view(row: SessionWorker) -> dict[str, Any]:
    """Return a session worker as the API shows it."""
    return {
        "sessionId": row.session_id,
        "status": row.status,
        "generation": row.generation,
        "syncState": sync_state(SyncStatus(row.last_sync_status)),
        "lastSyncStatus": row.last_sync_status,
        "lastSyncError": row.last_sync_error,
        "lastSyncAt": _moment(row.last_sync_at),
        "snapshotId": row.snapshot_id,
        "workspaceS3Prefix": storage.prefix(row.tenant_id, row.session_id),
        "receipt": row.receipt and {**row.receipt, "startedAt": _moment(row.receipt.get("startedAt"))},
        "error": row.error,
        "wish": row.wish,
        "wishError": row.wish_error,
        "lastUsedAt": _moment(row.last_used_at),
        "startedAt": _moment(row.started_at),
        "stoppedAt": _moment(row.stopped_at),
        "createdAt": _moment(row.created_at),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else ids.rfc3339_of(seconds)
