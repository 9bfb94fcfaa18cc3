"""`python -m scheduler`: one process with APScheduler."""

from __future__ import annotations

from apscheduler.schedulers.blocking import BlockingScheduler

from app import config, log
from app.container import build
from app.log import logger
from scheduler.jobs import jobs, perform


def main() -> None:
    settings = config.load()
    log.configure("scheduler", level=settings.log_level, as_json=settings.log_json)
    container = build(settings)
    scheduler = BlockingScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for job in jobs(container):
        scheduler.add_job(perform, "interval", args=[job], seconds=job.seconds, id=job.name)
    logger.info("scheduler ready")
    scheduler.start()


if __name__ == "__main__":
    main()
