"""Starting a session worker: sandbox, files, agent data; and salvage of one that died. ARCHITECTURE decision 9, SPEC §2.

Every step may be the last of its process. What the row says at that moment (`worker_rows`) is enough for the next one to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from app.domain.manifest import NOTHING, ROOTS, Manifest
from app.domain.worker_state import WorkerStatus
from app.log import logger
from app.models import ChatSession, SessionWorker
from app.ports import Executor, SandboxSpec
from app.services import worker_rows
from app.services.snapshots import Order
from app.services.worker_lease import Held
from app.services.worker_parts import FAILURES, WorkerParts, connect, receipt_of, save, text_of, vanished

Restored = Literal["fresh", "restored", "reused"]


@dataclass(frozen=True, slots=True)
class Ready:
    """A sandbox that a run may use. `restored`: its files began empty or with the repository (`fresh`), came from (or were found
    equal to) a snapshot (`restored`), or are those of a sandbox that was running all along (`reused`). `notice` is what people
    should be told of how it got here: a sandbox that died, or whose files are gone."""

    executor: Executor
    worker: SessionWorker
    restored: Restored
    snapshot_id: str | None
    notice: str | None = None


@dataclass(frozen=True, slots=True)
class StartOrder:
    """`on_phase` hears what begins: salvaging, starting, restoring, seeding. It may raise to give the start up."""

    session: ChatSession
    labels: Mapping[str, str]
    on_phase: Callable[[str], None]


def unheard(phase: str) -> None:
    """Nobody wants to know."""


class WorkerStart:
    """One start, by the holder of the worker's lease."""

    def __init__(self, parts: WorkerParts, held: Held, order: StartOrder) -> None:
        self._parts, self._lease, self._order = parts, held.lease, order
        self._worker = held.worker
        self._name = held.worker.session_id
        self._notice: str | None = None

    def run(self) -> Ready:
        """Bring the worker to running from wherever it is. What goes wrong leaves it in `error`, with what was saved before."""
        try:
            if self._worker.status == WorkerStatus.RUNNING:
                executor = connect(self._parts.sandboxes, self._worker)
                used = worker_rows.reuse(self._worker) if executor is not None else None
                if executor is not None and used is not None:
                    return Ready(executor, used, "reused", used.snapshot_id)
            if worker_rows.may_hold_unsaved(self._worker):
                salvaged = self._salvage()
                if salvaged is not None:
                    return salvaged
            return self._start()
        except FAILURES as error:
            worker_rows.mark_error(self._worker, text_of(error))
            raise

    # --- from a sandbox that is not running ------------------------------------------------------------------------------

    def _start(self) -> Ready:
        before = self._worker
        if before.status == WorkerStatus.REMOVING:  # the removal was cut off: nothing of it is needed, it was saved
            self._effect(lambda: self._parts.sandboxes.remove(self._name, before.generation))
            before = worker_rows.mark_deleted(before)
        had_files = self._parts.sandboxes.exists(self._name)
        if before.status == WorkerStatus.STOPPED and not had_files:
            before = self._note_vanished(before)
        self._phase("starting")
        self._worker = worker_rows.begin_start(before)
        executor = self._launch()
        executor, restored = self._bring_files(executor, WorkerStatus(before.status), had_files=had_files)
        self._lease.require()
        self._worker = worker_rows.mark_running(self._worker)
        return Ready(executor, self._worker, restored, self._worker.snapshot_id, self._notice)

    def _launch(self) -> Executor:
        """Start a sandbox of the row's generation. That ends what ran under this name before in the same stroke, and is refused where
        a later generation runs: a holder that slept beyond its lease must not end the sandbox of the next."""
        spec = SandboxSpec(self._name, self._worker.generation, self._parts.mounts, self._order.labels)
        self._lease.require()
        return self._parts.sandboxes.start(spec)

    def _bring_files(self, executor: Executor, before: WorkerStatus, *, had_files: bool) -> tuple[Executor, Restored]:
        """Make the files those of the newest snapshot, or of a session that begins."""
        newest = self._parts.snapshots.newest(self._name)
        saved = self._parts.snapshots.manifest(newest) if newest else NOTHING
        cut_off = before in (WorkerStatus.STARTING, WorkerStatus.ERROR)
        if had_files and not self._holds(executor, saved, cut_off=cut_off):
            had_files = False
            if newest is None:  # what an executor remembers of a cut-off seed goes with the files
                self._effect(lambda: self._parts.sandboxes.remove(self._name, self._worker.generation))
                executor = self._launch()
        if newest is None:
            return executor, self._begin_fresh(executor)
        if not had_files:
            self._phase("restoring")
            self._parts.snapshots.restore(executor, newest, lambda: self._phase("restoring"))
        return executor, "restored"

    def _begin_fresh(self, executor: Executor) -> Restored:
        session = self._order.session
        if session.bundle_id is not None or session.repo_url is not None:
            self._phase("seeding")
            commit = self._parts.seeding.seed(executor, session)
            self._lease.require()
            worker_rows.note_baseline(self._worker, str(commit))
            save(self._parts, executor, self._worker, Order("seed", frozen=True, guard=self._lease.require))
        return "fresh"

    def _holds(self, executor: Executor, saved: Manifest, *, cut_off: bool) -> bool:
        """True where the files on disk are those saved. What a start that was `cut_off` left is rubbish; other files that should not
        be there are nobody's known work, and kept in a snapshot aside before they make way."""
        found = executor.scan(ROOTS, reason="verify", known=saved).worth_keeping()
        if found.same_content(saved):
            return True
        if not cut_off and not found.is_empty():
            order = Order("found", frozen=True, guard=self._lease.require, aside=True)
            aside = self._parts.snapshots.save(executor, self._worker, order)
            logger.error("files of a sandbox at rest were changed", session_id=self._name, kept_in=aside.snapshot_id)
        return False

    # --- from a sandbox that died ------------------------------------------------------------------------------------------

    def _salvage(self) -> Ready | None:
        """Save what a dead sandbox left on disk, with an executor alone, and go on with it; None where its files are gone."""
        if not self._parts.sandboxes.exists(self._name):
            self._worker = self._note_vanished(self._worker)
            return None
        self._phase("salvaging")
        reason = self._worker.error or f"the sandbox was found {self._worker.status} and without its executor"
        logger.warning("sandbox died, saving what it left", session_id=self._name, error=reason)
        self._worker = worker_rows.mark_error(self._worker, reason)
        self._worker = worker_rows.begin_salvage(self._worker)
        executor = self._launch()
        saved = save(self._parts, executor, self._worker, Order("salvage", frozen=True, guard=self._lease.require))
        self._lease.require()
        self._worker = worker_rows.mark_salvaged(self._worker, receipt_of(self._worker, saved))
        self._worker = worker_rows.mark_running(self._worker)
        notice = f"The sandbox had died; what it left was saved as snapshot {saved.snapshot_id}, and work goes on from there."
        return Ready(executor, self._worker, "restored", saved.snapshot_id, notice)

    def _note_vanished(self, worker: SessionWorker) -> SessionWorker:
        last = (
            f"restored from its last snapshot, {worker.snapshot_id}"
            if worker.snapshot_id
            else "empty, nothing was saved"
        )
        unsaved = " What was written after it is lost." if worker_rows.may_hold_unsaved(worker) else ""
        self._notice = f"The sandbox's files were gone. The workspace is {last}.{unsaved}"
        return vanished(worker)

    def _phase(self, phase: str) -> None:
        self._order.on_phase(phase)
        self._lease.require()

    def _effect(self, do: Callable[[], object]) -> None:
        self._lease.require()
        do()
