"""What every operation on a session worker works with, and the small steps that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.config import Settings
from app.errors import AppError
from app.log import logger
from app.models import SessionWorker
from app.ports import Executor, ExecutorError, Sandboxes, WorkspaceHost
from app.services import worker_rows
from app.services.counting import Counters
from app.services.seeding import Seeding
from app.services.snapshots import Order, Saved, Snapshots
from app.services.worker_lease import WorkerLeases

FAILURES = (AppError, ExecutorError, OSError)
"""What may go wrong with a sandbox or a store. LeaseLost is none of them: its holder touches nothing any more."""


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """`mounts` is what the providers need to see in every sandbox."""

    settings: Settings
    sandboxes: Sandboxes
    snapshots: Snapshots
    seeding: Seeding
    mounts: Mapping[str, str]
    leases: WorkerLeases
    counters: Counters | None = None


def text_of(error: Exception) -> str:
    return str(error) or type(error).__name__


def receipt_of(worker: SessionWorker, saved: Saved) -> dict[str, Any]:
    """Return the proof that everything of this generation was saved after its last write."""
    return {"generation": worker.generation, "startedAt": worker.started_at, "snapshotId": saved.snapshot_id}


def connect(sandboxes: Sandboxes, worker: SessionWorker) -> Executor | None:
    """Return the executor of the worker's own generation where it answers. One of an earlier generation is stopped; one of a later
    generation says that `worker` is an old look at the row, and is none of the caller's business."""
    executor = sandboxes.connect(worker.session_id)
    if executor is None:
        return None
    try:
        generation = executor.health().get("generation")
    except ExecutorError as error:
        logger.warning("executor does not answer", session_id=worker.session_id, error=str(error))
        return None
    if generation is None or generation == worker.generation:
        return executor
    logger.error("executor of another generation", session_id=worker.session_id, generation=generation)
    if generation < worker.generation:
        sandboxes.stop(worker.session_id, generation)
    return None


def save(parts: WorkerParts, host: WorkspaceHost, worker: SessionWorker, order: Order) -> Saved:
    """Save and note in the row how it went; a failure is visible there and raised."""
    order.guard()
    worker_rows.sync_pending(worker)
    try:
        saved = parts.snapshots.save(host, worker, order)
    except FAILURES as error:
        logger.warning("sync failed", session_id=worker.session_id, reason=order.reason, error=text_of(error))
        worker_rows.sync_failed(worker, text_of(error))
        _count(parts, "failed")
        raise
    worker_rows.sync_succeeded(worker)
    _count(parts, "succeeded")
    return saved


def _count(parts: WorkerParts, result: str) -> None:
    if parts.counters is not None:
        parts.counters.add("paddock_syncs_total", {"result": result})


def vanished(worker: SessionWorker) -> SessionWorker:
    """The sandbox's files are gone: say so loudly, with the last snapshot named, and go on from there."""
    logger.error(
        "sandbox has vanished with its files",
        session_id=worker.session_id,
        generation=worker.generation,
        last_snapshot_id=worker.snapshot_id,
        had_unsaved_work=worker_rows.may_hold_unsaved(worker),
    )
    return worker_rows.mark_deleted(worker)
