"""Saving the workspace beside a run: in the background after a message, and once more when the agent has exited.

A snapshot's row and its `workspace.synced` event are one fact: `report` writes the events of rows that have none yet, also
those an earlier holder left behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app import db, ids
from app.domain.events import EventType
from app.errors import AppError
from app.log import in_this_context, logger
from app.models import AgentRun, RunEvent, Snapshot
from app.ports import ExecutorError
from app.services.event_log import RunLog
from app.services.run_attempt import now_draft
from app.services.session_workers import SessionWorkers

GATHER_SECONDS = 0.3
"""After a message, so that a burst of messages is one sync."""

RETRY_SECONDS = 30
"""About when the scheduler's sweep of stale syncs tries again."""


class RunSync:
    """The syncs of one run under one lease."""

    def __init__(self, run: AgentRun, log: RunLog, session_workers: SessionWorkers, wake: Callable[[], None]) -> None:
        self._run, self._log, self._workers, self._wake = run, log, session_workers, wake
        self._due_at: float | None = None
        self._thread: threading.Thread | None = None
        self._error: str | None = None
        self._reported = {event.data["snapshotId"] for event in _events(run.id, EventType.WORKSPACE_SYNCED)}

    def request(self) -> None:
        """A message has ended: sync soon, unless one is due already."""
        if self._due_at is None:
            self._due_at = time.monotonic() + GATHER_SECONDS

    @property
    def is_settled(self) -> bool:
        """True where no sync is due or on its way."""
        return self._due_at is None and (self._thread is None or not self._thread.is_alive())

    def tick(self) -> None:
        """Start the sync that is due, one at a time."""
        busy = self._thread is not None and self._thread.is_alive()
        if self._due_at is None or time.monotonic() < self._due_at or busy:
            return
        self._due_at = None
        self._thread = threading.Thread(target=in_this_context(self._sync_beside), name="sync", daemon=True)
        self._thread.start()

    def finish(self, attempt: int) -> None:
        """The agent has exited: save everything, its own state too. A failed sync is told, the run ends all the same."""
        self._due_at = None
        if self._thread is not None:
            self._thread.join()
        self._sync("run.finished", ended=True)
        self.report(attempt)

    def report(self, attempt: int) -> None:
        """Write the events of what was synced, or failed to be, since the last look."""
        rows = list(Snapshot.select().where(Snapshot.run_id == self._run.id).order_by(Snapshot.created_at))
        for row in rows:
            if row.id in self._reported:
                continue
            self._reported.add(row.id)
            data = {
                "snapshotId": row.id,
                "reason": row.reason,
                "filesChanged": row.files_changed,
                "bytesSent": row.bytes_sent,
                "seconds": round(row.seconds, 3),
            }
            self._log.append([now_draft(EventType.WORKSPACE_SYNCED, data, attempt)])
        if self._error is not None:
            data = {"error": self._error, "retryAt": ids.rfc3339_of(time.time() + RETRY_SECONDS)}
            self._error = None
            self._log.append([now_draft(EventType.WORKSPACE_SYNC_FAILED, data, attempt)])

    def _sync_beside(self) -> None:
        with db.connection():
            self._sync("message.stop", ended=False)
        self._wake()

    def _sync(self, reason: str, *, ended: bool) -> None:
        try:
            self._workers.sync(self._run.session_id, reason, run_id=self._run.id, ended=ended)
        except (AppError, ExecutorError, OSError) as error:
            logger.warning("sync failed", reason=reason, error=str(error))
            self._error = str(error)


def _events(run_id: str, kind: str) -> list[RunEvent]:
    return list(RunEvent.select(RunEvent.data).where(RunEvent.run_id == run_id, RunEvent.type == kind))
