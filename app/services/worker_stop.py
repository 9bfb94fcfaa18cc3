"""Stopping and removing a session worker, through the gates of ARCHITECTURE decision 9: never before its files are safe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.manifest import ROOTS
from app.domain.worker_state import WorkerStatus
from app.errors import AppError, Conflict
from app.log import logger
from app.ports import Executor, ExecutorError, SandboxSpec
from app.services import worker_rows
from app.services.snapshots import Order, Saved, unstable
from app.services.worker_lease import Held
from app.services.worker_parts import FAILURES, WorkerParts, connect, receipt_of, save, text_of, vanished


class WorkerStop:
    """One stop or removal, by the holder of the worker's lease."""

    def __init__(self, parts: WorkerParts, held: Held) -> None:
        self._parts, self._lease, self._worker = parts, held.lease, held.worker
        self._name = held.worker.session_id

    def stop(self) -> Mapping[str, Any]:
        """running or stopping -> stopped; return the receipt. Conflict `run_active`, `worker_not_active`, `workspace_unstable`."""
        if self._worker.status == WorkerStatus.STOPPED:
            self._end_processes()
            return dict(self._worker.receipt)
        if self._worker.status not in (WorkerStatus.RUNNING, WorkerStatus.STOPPING):
            raise not_active()
        worker_rows.require_no_active_run(self._name)
        if not self._parts.sandboxes.exists(self._name):
            vanished(self._worker)
            raise Conflict(
                "worker_vanished",
                f"The sandbox is gone with its files; its last snapshot is {self._worker.snapshot_id or 'none'}.",
                remedy="Send the next message: the session goes on from its last snapshot.",
            )
        self._worker = worker_rows.begin_stop(self._worker)
        try:
            receipt = self._save_the_last_write()
        except FAILURES as error:
            self._give_up(error)
            raise
        self._worker = worker_rows.mark_stopped(self._worker, receipt)
        self._end_processes()
        logger.info("sandbox stopped", session_id=self._name, **receipt)
        return receipt

    def remove(self) -> None:
        """stopped -> deleted; Conflict `receipt_missing` or `snapshot_incomplete` unless all of it can be brought back."""
        if self._worker.status == WorkerStatus.DELETED:
            return
        if self._worker.status != WorkerStatus.REMOVING:
            self._require_receipt()
            if not self._parts.sandboxes.exists(self._name):
                vanished(self._worker)
                return
            self._lease.require()
            self._worker = worker_rows.begin_remove(self._worker)
        self._end_processes()
        self._lease.require()
        self._parts.sandboxes.remove(self._name, self._worker.generation)
        worker_rows.mark_deleted(self._worker)
        logger.info("sandbox removed", session_id=self._name, snapshot_id=self._worker.snapshot_id)

    # --- the gate --------------------------------------------------------------------------------------------------------

    def _save_the_last_write(self) -> dict[str, Any]:
        """Kill what could write, save, and look whether anything was written since the scan that was saved."""
        host = self._reach()
        self._lease.require()
        host.halt()
        saved = save(self._parts, host, self._worker, Order("stop", frozen=True, guard=self._lease.require))
        self._keep_diff(host, saved)
        second = host.scan(ROOTS, reason="gate", known=saved.manifest).worth_keeping()
        if saved.fuzzy or not second.same_stamps(saved.manifest):
            worker_rows.sync_failed(self._worker, unstable().message)
            raise unstable()
        self._lease.require()
        return receipt_of(self._worker, saved)

    def _keep_diff(self, host: Executor, saved: Saved) -> None:
        """Keep git's own answer to what changed: it knows what the repository ignores. Without it the diff is made from snapshots."""
        try:
            answer = host.diff(self._worker.baseline)
            self._lease.require()
            self._parts.snapshots.keep_diff(self._worker, saved.snapshot_id, answer)
        except FAILURES as error:
            logger.warning("diff not kept", session_id=self._name, error=text_of(error))

    def _reach(self) -> Executor:
        """Return the executor; where it died, one of a new generation, alone with the files."""
        host = connect(self._parts.sandboxes, self._worker)
        if host is not None:
            return host
        self._worker = worker_rows.renew_generation(self._worker)
        self._lease.require()  # the start ends what is left of the generation before
        return self._parts.sandboxes.start(SandboxSpec(self._name, self._worker.generation, self._parts.mounts, {}))

    def _give_up(self, error: Exception) -> None:
        """The files are not safe: the sandbox stays and takes writes again, and the row says why."""
        if self._is_back_at_work(error):
            worker_rows.stop_failed(self._worker, text_of(error))
        else:
            worker_rows.mark_error(self._worker, text_of(error))

    def _is_back_at_work(self, error: Exception) -> bool:
        answered = isinstance(error, AppError) or (isinstance(error, ExecutorError) and error.kind == "http")
        host = connect(self._parts.sandboxes, self._worker) if answered else None
        if host is None:
            return False
        self._lease.require()
        try:
            host.freeze(False)
        except ExecutorError:
            return False
        return True

    def _end_processes(self) -> None:
        self._lease.require()
        self._parts.sandboxes.stop(self._name, self._worker.generation)

    def _require_receipt(self) -> None:
        worker, receipt = self._worker, self._worker.receipt or {}
        fits = receipt.get("generation") == worker.generation and receipt.get("snapshotId") == worker.snapshot_id
        if worker.status != WorkerStatus.STOPPED or not fits:
            raise Conflict(
                "receipt_missing",
                "The sandbox was not stopped with everything saved, so it is not removed.",
                remedy="Stop it first.",
            )
        snapshot = self._parts.snapshots.find(str(worker.snapshot_id))
        if snapshot is None or self._parts.snapshots.missing_objects(snapshot):
            raise Conflict(
                "snapshot_incomplete",
                f"The object store does not hold all of snapshot {worker.snapshot_id}, so the sandbox is not removed.",
                remedy="Bring the object store back, or activate and stop the session again: what is missing is saved again.",
            )


def not_active() -> Conflict:
    return Conflict(
        "worker_not_active",
        "The sandbox of this session does not run.",
        remedy="Activate it, or send a message: that starts it.",
    )
