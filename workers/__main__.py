"""`python -m workers runs|maintenance`: one worker process. SIGTERM hands all leases back at once and ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

import dramatiq

from app import config, log
from app.adapters.dramatiq_bell import MAINTENANCE_QUEUE, RUNS_QUEUE
from app.adapters.redis_command_feed import RedisCommandFeed
from app.container import Container, build
from app.log import logger
from app.services.run_worker import RunWorker
from workers import actors

HAND_BACK_SECONDS = 1.5
QUIET_SECONDS = 2.0
"""After the start, until the rest of Paddock has started too."""
BELL_TIMEOUT_MS = 100
"""The longest sleep of an idle Dramatiq consumer: the start of a run at idle waits half of it on average."""


def main(kind: str) -> None:
    settings = config.load()
    log.configure("worker" if kind == "runs" else "maintenance", level=settings.log_level, as_json=settings.log_json)
    container = build(settings)
    worker = RunWorker(settings.owner or container.owner, container.driver_parts)
    actors.declare(container.broker, worker.drive_until_idle, container.session_workers.grant_wishes)
    ending = _ending_signal()
    consumer = _consumer(container, kind)
    feed = RedisCommandFeed(settings.redis, worker.wake)
    if kind == "runs":
        feed.start()
        worker.look_around()
    consumer.start()
    logger.info("worker ready", queue=kind, threads=settings.worker_threads)
    if kind == "runs" and not ending.wait(QUIET_SECONDS):
        from app.adapters import httpx_executor  # noqa: F401 - slow to load: before the first run needs it, while nobody waits
    ending.wait()
    logger.info("worker stops")
    try:
        _stop_listening(consumer)
        worker.stop(HAND_BACK_SECONDS)
    finally:
        os._exit(0)  # agents and syncs are not ours to wait for: what they do is taken up by whoever claims next


def _consumer(container: Container, kind: str) -> dramatiq.Worker:
    threads = container.settings.worker_threads if kind == "runs" else 4
    queue = RUNS_QUEUE if kind == "runs" else MAINTENANCE_QUEUE
    consumer = dramatiq.Worker(container.broker, queues={queue}, worker_threads=threads, worker_timeout=BELL_TIMEOUT_MS)
    consumer.queue_prefetch = threads
    return consumer


def _stop_listening(consumer: dramatiq.Worker) -> None:
    """Take no bell any more: those that are rung for the runs handed back are for other workers."""
    listeners = list(consumer.consumers.values())
    for listener in listeners:
        listener.stop()
    for listener in listeners:
        listener.join(2 * BELL_TIMEOUT_MS / 1000)


def _ending_signal() -> threading.Event:
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    return ending


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in (RUNS_QUEUE, MAINTENANCE_QUEUE):
        sys.exit("usage: python -m workers runs|maintenance")
    main(sys.argv[1])
