"""`python -m scheduler`: one process with APScheduler."""

from __future__ import annotations

from apscheduler.schedulers.blocking import BlockingScheduler

from app import config, log
from app.container import build
from app.log import logger
from scheduler.ticking import OPTIONS, ClockWatch, schedule


def main() -> None:
    settings = config.load()
    log.configure("scheduler", level=settings.log_level, as_json=settings.log_json)
    maintenance = build(settings).maintenance
    scheduler = BlockingScheduler(**OPTIONS)
    schedule(scheduler, maintenance.jobs(), maintenance.tick)
    ClockWatch(scheduler).start()
    logger.info("scheduler ready")
    scheduler.start()


if __name__ == "__main__":
    main()
