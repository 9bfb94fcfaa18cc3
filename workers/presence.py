"""What a worker process says of itself, and how it learns that it is to be drained. What draining means is given to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import peewee

from app import db
from app.errors import AppError
from app.log import logger
from app.services import worker_processes

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Duties:
    """`running` counts what is in hand; `drain` hands it back and takes no more, `resume` goes on."""

    running: Callable[[], int]
    drain: Callable[[], None]
    resume: Callable[[], None]


class Presence:
    """Beats and looks in a thread of its own, until `leave`."""

    def __init__(self, name: str, kind: str, duties: Duties) -> None:
        self._name, self._kind, self._duties = name, kind, duties
        self._left = threading.Event()
        self._at_rest = False
        self._beat_in = 0.0

    def start(self) -> None:
        self._tried(lambda: worker_processes.register(self._name, self._kind))
        threading.Thread(target=self._watch, name="presence", daemon=True).start()

    def leave(self) -> None:
        """Say that the process ends; what it leaves unsaid is found out by its silence."""
        self._left.set()
        self._tried(lambda: worker_processes.forget(self._name))

    def _watch(self) -> None:
        while not self._left.wait(LOOK_SECONDS):
            self._tried(self._look)

    def _look(self) -> None:
        self._beat_in -= LOOK_SECONDS
        if self._beat_in <= 0:
            self._beat_in = worker_processes.BEAT_SECONDS
            if not worker_processes.beat(self._name, self._duties.running()) and not self._left.is_set():
                worker_processes.register(self._name, self._kind)
        state = worker_processes.state_of(self._name)
        if state == "draining":
            if not self._at_rest:
                self._at_rest = True
                logger.info("worker drains")
                self._duties.drain()
            if self._duties.running() == 0 and worker_processes.mark_drained(self._name):
                worker_processes.beat(self._name, 0)
                logger.info("worker drained")
        elif state == "ready" and self._at_rest:
            self._at_rest = False
            logger.info("worker goes on")
            self._duties.resume()

    def _tried(self, work: Callable[[], object]) -> None:
        """The database may be away: nothing of this is worth a worker."""
        try:
            with db.connection():
                work()
        except (AppError, peewee.PeeweeException) as error:
            logger.warning("presence not told", error=str(error))
