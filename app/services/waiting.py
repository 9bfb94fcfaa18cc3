"""Runs that wait for a person and were let go: looking at their agents in bulk, and stopping their sandboxes after a while.
ARCHITECTURE decision 8. Both may run twice or at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from app import db
from app.config import Settings
from app.domain.journal import agent_id
from app.errors import AppError, LeaseLost
from app.log import logger
from app.models import AgentRun
from app.ports import Bell, ExecutorError
from app.services import runs
from app.services.session_workers import SessionWorkers

PARALLEL = 4
LIMIT = 1000


class Waiting:
    """The let-go runs of this installation."""

    def __init__(self, settings: Settings, session_workers: SessionWorkers, bell: Bell) -> None:
        self._settings, self._session_workers, self._bell = settings, session_workers, bell

    def look(self) -> int:
        """Take up those whose agent moved or ended; returns how many. The look is also the executors' sign of life."""
        moved = sum(_each(_live(), self._take_up_if_moved))
        if moved:
            self._bell.ring_runs()
        return moved

    def stop_long(self, now: float) -> int:
        """Stop the sandboxes of those that have waited too long, and the oldest where there are too many; returns how many."""
        live = _live()
        surplus = max(0, len(live) - self._settings.waiting_max)
        kept_since = now - self._settings.waiting_keep_seconds
        long = [run for index, run in enumerate(live) if index < surplus or (run.waiting_since or now) <= kept_since]
        return sum(_each(long, self._stop))

    def _take_up_if_moved(self, run: AgentRun) -> bool:
        try:
            executor = self._session_workers.connect(run.session_id)
            state = executor.find_agent(agent_id(run.id, run.attempt)) if executor is not None else None
        except ExecutorError as error:
            logger.warning("agent of a waiting run not seen", run_id=run.id, error=str(error))
            return False
        if state is not None and state.running and state.last <= (run.let_go_record or 0):
            return False
        return runs.take_up(run)

    def _stop(self, run: AgentRun) -> bool:
        try:
            self._session_workers.stop(run.session_id, wait_seconds=0)
        except (AppError, ExecutorError, LeaseLost, OSError) as error:
            logger.warning("sandbox of a waiting run not stopped", run_id=run.id, error=str(error))
            return False
        return True


def _live() -> list[AgentRun]:
    """Return the let-go runs whose sandbox was not stopped, those that have waited longest first."""
    query = AgentRun.select().where(
        AgentRun.let_go_at.is_null(False), AgentRun.sandbox_stopped_at.is_null(), AgentRun.finished_at.is_null()
    )
    return list(query.order_by(AgentRun.waiting_since).limit(LIMIT))


def _each(found: Sequence[AgentRun], act: Callable[[AgentRun], bool]) -> list[bool]:
    def do(run: AgentRun) -> bool:
        with db.connection(), logger.contextualize(run_id=run.id, session_id=run.session_id):
            return act(run)

    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="waiting") as pool:
        return list(pool.map(do, found))
