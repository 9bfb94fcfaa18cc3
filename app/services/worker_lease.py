"""The lease of one operation on a session worker (start, sync, stop, remove). ARCHITECTURE decision 9.

It is taken and renewed in the database; its holder counts itself out by its own clock and asks before each effect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import peewee

from app import db
from app.domain.lease import Lease
from app.errors import AppError, Unavailable
from app.models import SessionWorker
from app.services import holders, worker_rows

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """A worker taken for one operation; `worker` is its row as it was then. `lease.require()` comes before each effect."""

    worker: SessionWorker
    lease: Lease


class WorkerLeases:
    """Takes session workers for the operations of this process."""

    def __init__(self, owner: str, seconds: float) -> None:
        self._owner = owner or holders.name_of_this_process()
        self._seconds = seconds

    @contextmanager
    def hold(self, session_id: str, *, wait_seconds: float) -> Iterator[Held]:
        """Hold the worker for the block; Unavailable `worker_busy` when another operation has it for longer than `wait_seconds`.

        A process that is being torn down leaves its lease to run out: what it was doing is not known to be whole.
        """
        held = self._wait(session_id, wait_seconds)
        with self.keeping(held):
            yield held

    @contextmanager
    def keeping(self, held: Held) -> Iterator[None]:
        """Renew the lease for the length of the block, then give it back."""
        done = threading.Event()
        keeper = threading.Thread(target=_keep, args=(held.lease, done), name="worker-lease", daemon=True)
        keeper.start()
        try:
            yield
        except Exception:
            done.set()
            self._release(held)
            raise
        else:
            done.set()
            self._release(held)
        finally:
            done.set()
            keeper.join()

    def try_hold(self, session_id: str) -> Held | None:
        """Take the worker if it is free now; the caller enters `keeping`."""
        asked_at = time.monotonic()
        worker = worker_rows.take_lease(session_id, self._owner, self._seconds)
        if worker is None:
            return None
        seconds = self._seconds - (time.monotonic() - asked_at)
        return Held(worker, Lease(session_id, worker.lease_epoch, self._owner, seconds))

    def _wait(self, session_id: str, wait_seconds: float) -> Held:
        worker_rows.get(session_id)
        end = time.monotonic() + wait_seconds
        pause = _SHORTEST_PAUSE
        while (held := self.try_hold(session_id)) is None:
            if time.monotonic() >= end:
                raise busy()
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return held

    def _release(self, held: Held) -> None:
        held.lease.lose()
        try:
            worker_rows.release_lease(held.worker.session_id, held.lease.epoch)
        except (AppError, peewee.PeeweeException):
            return  # it runs out by itself


def busy() -> Unavailable:
    return Unavailable(
        "worker_busy",
        "Another operation on this sandbox is in progress.",
        remedy="Wait for it to end, then try again.",
    )


def _keep(lease: Lease, done: threading.Event) -> None:
    while not done.wait(lease.seconds / 3):
        asked_at = time.monotonic()
        try:
            with db.connection():
                renewed = worker_rows.renew_lease(lease.run_id, lease.epoch, lease.seconds)
        except (AppError, peewee.PeeweeException):
            continue  # a blip: the holder counts itself out if it lasts
        if not renewed:
            lease.lose()
            return
        lease.renewed(asked_at)
