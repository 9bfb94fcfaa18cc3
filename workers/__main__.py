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
from app.errors import Unavailable
from app.log import logger
from app.services.process_health import Reporter
from app.services.run_worker import SPARE_THREADS, RunWorker
from workers import actors, turning
from workers.presence import Duties, Presence

HAND_BACK_SECONDS = 0.7
"""For drivers to hand back in order. From the rest leases are taken: to who takes over that is no different from a death."""
QUIET_SECONDS = 2.0
"""After the start, until the rest of Paddock has started too."""
CLOSE_MS = 10_000
BELL_TIMEOUT_MS = 100
"""The longest sleep of an idle Dramatiq consumer: the start of a run at idle waits half of it on average."""


def main(kind: str) -> None:
    settings = config.load()
    component = "worker" if kind == "runs" else "maintenance"
    log.configure(component, level=settings.log_level, as_json=settings.log_json, secrets=settings.secrets)
    log.capture()
    container = build(settings)
    container.require_fit_redis()
    worker = RunWorker(settings.owner or container.owner, container.driver_parts)
    actors.declare(container.broker, worker.drive_until_idle, container.session_workers.grant_wishes)
    ending = _ending_signal()
    ear = Ear(container, kind)
    feed = RedisCommandFeed(settings.redis, worker.wake)
    if kind == "runs":
        feed.start()
        worker.look_around()
    ear.listen()
    presence = Presence(container.owner, kind, _duties(ear, worker))
    presence.start()
    reporter = Reporter(component, container.owner, container.progress, container.board)
    reporter.start()
    _look_at_executor_host(container)
    logger.info("worker ready", queue=kind, threads=settings.worker_threads)
    if kind == "runs" and not ending.wait(QUIET_SECONDS):
        from app.adapters import httpx_executor  # noqa: F401 - slow to load: before the first run needs it, while nobody waits
    ending.wait()
    logger.info("worker stops")
    try:
        ear.turn_away()
        worker.stop(HAND_BACK_SECONDS)
        presence.leave()
        reporter.leave()
        container.counters.flush()
    finally:
        os._exit(0)  # agents and syncs are not ours to wait for: what they do is taken up by whoever claims next


def _look_at_executor_host(container: Container) -> None:
    """Say at once what every run would say later; the host may come back, so the worker stays."""
    try:
        container.check_executor_host()
    except Unavailable as error:
        logger.error("executor host is of no use", error=error.message, remedy=error.remedy)


class Ear:
    """Hears the bells of one queue; a drained worker closes it, and may open it again."""

    def __init__(self, container: Container, kind: str) -> None:
        self._broker, self._progress = container.broker, container.progress
        turning.expect(self._progress, container.settings.wedged_seconds)
        self._threads = container.settings.worker_threads + SPARE_THREADS if kind == "runs" else 4
        self._queue = RUNS_QUEUE if kind == "runs" else MAINTENANCE_QUEUE
        self._consumer: dramatiq.Worker | None = None

    def listen(self) -> None:
        self._consumer = dramatiq.Worker(
            self._broker, queues={self._queue}, worker_threads=self._threads, worker_timeout=BELL_TIMEOUT_MS
        )
        self._consumer.queue_prefetch = self._threads
        turning.watch(self._consumer, self._progress)
        self._consumer.start()

    def turn_away(self) -> None:
        """Take no bell any more: those that are rung for the runs handed back are for other workers."""
        listeners = list(self._consumer.consumers.values()) if self._consumer is not None else []
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            listener.join(2 * BELL_TIMEOUT_MS / 1000)

    def close(self) -> None:
        """End the threads too, and give back what they had taken in advance."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.stop(CLOSE_MS)
        turning.rest(self._progress)


def _duties(ear: Ear, worker: RunWorker) -> Duties:
    def drain() -> None:
        ear.turn_away()
        worker.stop(HAND_BACK_SECONDS)
        ear.close()

    def resume() -> None:
        worker.resume()
        ear.listen()
        worker.look_around()

    return Duties(lambda: worker.running, drain, resume)


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
