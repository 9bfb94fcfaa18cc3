"""`python -m scheduler`: one process with APScheduler."""

from __future__ import annotations

import os
import signal
from types import FrameType

from apscheduler.schedulers.blocking import BlockingScheduler

from app import config, log, trace
from app.container import build
from app.log import logger
from app.services.maintenance import Job
from app.services.process_health import Reporter
from scheduler.ticking import OPTIONS, ClockWatch, schedule

JOBS = "jobs"


def main() -> None:
    settings = config.load()
    log.configure("scheduler", level=settings.log_level, as_json=settings.log_json, secrets=settings.secrets)
    log.capture()
    container = build(settings)
    container.require_fit_redis()
    maintenance, progress = container.maintenance, container.progress
    progress.expect(JOBS, max(settings.wedged_seconds, 2 * settings.sweep_seconds))
    progress.turned(JOBS)

    def tick(job: Job) -> None:
        with logger.contextualize(trace_id=trace.new_id()):
            error = maintenance.tick(job)
        if error is None:
            progress.turned(JOBS)

    scheduler = BlockingScheduler(**OPTIONS)
    schedule(scheduler, maintenance.jobs(), tick)
    ClockWatch(scheduler).start()
    reporter = Reporter("scheduler", container.owner, progress, container.board)
    reporter.start()
    _leave_when_told(reporter)
    logger.info("scheduler ready")
    scheduler.start()


def _leave_when_told(reporter: Reporter) -> None:
    """A job that is cut off is done again: each is idempotent."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        reporter.leave()
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


if __name__ == "__main__":
    main()
