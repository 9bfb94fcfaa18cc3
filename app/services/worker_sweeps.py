"""What maintenance looks for among session workers, and how it reports. Each sweep may run twice or at once. SPEC §8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import peewee

from app import db
from app.domain.worker_state import SyncStatus, WorkerStatus
from app.errors import AppError, LeaseLost
from app.log import logger
from app.models import AgentRun, SessionWorker
from app.ports import ExecutorError
from app.services.worker_parts import text_of

LIMIT = 200
"""Workers per sweep; the next one goes on."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """`skipped`: busy, or in use again; `items` tells of each `{sessionId, outcome, detail}`."""

    checked: int
    done: int
    skipped: int
    failed: int
    items: list[dict[str, Any]]

    def as_wire(self) -> dict[str, Any]:
        return asdict(self)


def apply(candidates: Sequence[str], act: Callable[[str], object]) -> SweepResult:
    """Do it to each; one that fails stops none of the others."""
    items = [_outcome(session_id, act) for session_id in candidates]
    counts = {name: sum(item["outcome"] == name for item in items) for name in ("done", "skipped", "failed")}
    return SweepResult(
        checked=len(items), done=counts["done"], skipped=counts["skipped"], failed=counts["failed"], items=items
    )


def _outcome(session_id: str, act: Callable[[str], object]) -> dict[str, Any]:
    try:
        act(session_id)
    except LeaseLost as error:
        return {"sessionId": session_id, "outcome": "skipped", "detail": text_of(error)}
    except (AppError, ExecutorError, OSError) as error:
        code = getattr(error, "code", "")
        skipped = code in ("worker_busy", "run_active", "worker_not_active")
        if not skipped:
            logger.warning("sweep of a session worker failed", session_id=session_id, code=code, error=text_of(error))
        return {"sessionId": session_id, "outcome": "skipped" if skipped else "failed", "detail": text_of(error)}
    return {"sessionId": session_id, "outcome": "done", "detail": None}


def list_idle(before: float) -> list[str]:
    """Sandboxes that run (or whose stop, start or end was cut off) and that no run has used since `before`."""
    recent = AgentRun.select().where(
        AgentRun.session_id == SessionWorker.session_id,
        AgentRun.finished_at.is_null() | (AgentRun.finished_at > before),
    )
    alive = [WorkerStatus.RUNNING, WorkerStatus.STOPPING, WorkerStatus.STARTING]
    died = (
        (SessionWorker.status == WorkerStatus.ERROR)
        & SessionWorker.started_at.is_null(False)
        & SessionWorker.receipt.is_null()
    )
    query = SessionWorker.select(SessionWorker.session_id).where(
        SessionWorker.status.in_([str(status) for status in alive]) | died,
        SessionWorker.last_used_at <= before,
        _free(),
        ~peewee.fn.EXISTS(recent),
    )
    return _ids(query.order_by(SessionWorker.last_used_at))


def list_long_stopped(before: float) -> list[str]:
    """Sandboxes stopped before that time, and those whose removal was cut off."""
    long_stopped = (SessionWorker.status == WorkerStatus.STOPPED) & (SessionWorker.stopped_at <= before)
    query = SessionWorker.select(SessionWorker.session_id).where(
        long_stopped | (SessionWorker.status == WorkerStatus.REMOVING), _free()
    )
    return _ids(query.order_by(SessionWorker.stopped_at))


def list_stale_syncs(before: float) -> list[str]:
    """Running sandboxes whose last sync failed, or was cut off, and that were not synced since."""
    unsettled = [str(SyncStatus.FAILED), str(SyncStatus.PENDING)]
    query = SessionWorker.select(SessionWorker.session_id).where(
        SessionWorker.status == WorkerStatus.RUNNING,
        SessionWorker.last_sync_status.in_(unsettled),
        SessionWorker.last_sync_at.is_null() | (SessionWorker.last_sync_at <= before),
        _free(),
    )
    return _ids(query.order_by(SessionWorker.last_used_at))


def list_wishes(limit: int) -> list[SessionWorker]:
    query = SessionWorker.select().where(SessionWorker.wish.is_null(False), _free())
    return list(query.order_by(SessionWorker.wish_at).limit(limit))


def _free() -> Any:
    return SessionWorker.lease_until.is_null() | (SessionWorker.lease_until <= db.clock())


def _ids(query: Any) -> list[str]:
    return [row.session_id for row in query.limit(LIMIT)]
