"""Telling that the loops of a Dramatiq worker turn, from within them: the thread that hears bells, and the threads that work.

Idle threads come by every BELL_TIMEOUT; a thread at work tells by what it does (`run_driver`). So a process whose threads all wait
for one another, or whose ear is stuck, is known for what it is.
"""

from __future__ import annotations

from queue import PriorityQueue
from typing import Any

import dramatiq
from dramatiq.broker import Consumer

from app.services.progress import Progress

BELLS = "bells"
THREADS = "threads"
AT_WORK_FACTOR = 3.0
"""A thread may be busy with something long (a save, a restore) for longer than an ear may be deaf."""


def expect(progress: Progress, wedged_seconds: float) -> None:
    """Let loops that stand still be noticed."""
    progress.expect(BELLS, wedged_seconds)
    progress.expect(THREADS, AT_WORK_FACTOR * wedged_seconds)


def watch(consumer: dramatiq.Worker, progress: Progress) -> None:
    """Have a worker that was not started yet tell of its turns."""
    consumer.work_queue = _TurningQueue(progress)
    consumer.broker = _TurningBroker(consumer.broker, progress)


def rest(progress: Progress) -> None:
    """The worker was ended on purpose."""
    progress.rest(BELLS)
    progress.rest(THREADS)


class _TurningQueue(PriorityQueue[Any]):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        self._progress.turned(THREADS)
        return super().get(block, timeout)


class _TurningBroker:
    """A broker as its worker sees it: everything is the broker's, but its consumers tell of their turns."""

    def __init__(self, inner: Any, progress: Progress) -> None:
        self._inner, self._progress = inner, progress

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:
        found = self._inner.consume(queue_name, prefetch, timeout)
        delayed = queue_name in self._inner.delay_queues  # nothing is ever delayed here: it would turn for the other
        return found if delayed else _TurningConsumer(found, self._progress)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _TurningConsumer(Consumer):
    def __init__(self, inner: Consumer, progress: Progress) -> None:
        self._inner, self._progress = inner, progress

    def __iter__(self) -> Consumer:
        return self

    def __next__(self) -> Any:
        found = next(self._inner)
        self._progress.turned(BELLS)
        return found

    def ack(self, message: Any) -> None:
        self._inner.ack(message)

    def nack(self, message: Any) -> None:
        self._inner.nack(message)

    def requeue(self, messages: Any) -> None:
        self._inner.requeue(messages)

    def close(self) -> None:
        self._inner.close()
