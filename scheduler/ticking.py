"""When jobs run: at once, then at their intervals, however the machine's clock is set meanwhile. What they do is maintenance's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.base import BaseScheduler

from app.log import logger
from app.services.maintenance import Job

JUMP_SECONDS = 2.0
WATCH_SECONDS = 1.0

OPTIONS: dict[str, Any] = {
    "timezone": UTC,  # without summer time
    "job_defaults": {
        "coalesce": True,
        "max_instances": 1,
        "misfire_grace_time": None,
    },  # late once is better than never
}
"""Of APScheduler: due times that were missed are made good by one run, and a job never runs beside itself."""


def schedule(scheduler: BaseScheduler, jobs: Sequence[Job], tick: Callable[[Job], None]) -> None:
    """Let the scheduler call `tick` for each job: now, so that frequent restarts starve none, then at its interval."""
    for job in jobs:
        scheduler.add_job(
            tick, "interval", args=[job], seconds=job.seconds, id=job.name, next_run_time=datetime.now(UTC)
        )


class ClockWatch:
    """Due times are moments of the machine's clock: one that is set back an hour would stop everything for an hour."""

    def __init__(
        self,
        scheduler: BaseScheduler,
        wall: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler, self._wall, self._steady = scheduler, wall, steady
        self._offset = wall() - steady()

    def look(self) -> bool:
        """Make every job due now where the clock was set; true then."""
        offset = self._wall() - self._steady()
        jumped, self._offset = offset - self._offset, offset
        if abs(jumped) < JUMP_SECONDS:
            return False
        logger.warning("clock was set", seconds=round(jumped, 1))
        for job in self._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC))
        return True

    def start(self) -> None:
        """Look every second, in a thread of its own."""
        threading.Thread(target=self._watch, name="clock-watch", daemon=True).start()

    def _watch(self) -> None:
        while not threading.Event().wait(WATCH_SECONDS):
            self.look()
