"""Room for new work: free disk and free Redis, looked at before new work is taken and before an attempt starts.

Below a watermark nothing new is taken (503, or the run waits in the queue and says so), so that what runs has the rest to end well
with. Nothing has to be done to go on: the next look finds the room. The answer of a look is good for a second.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.config import Settings
from app.errors import Unavailable
from app.log import logger
from app.ports import RedisGauge
from app.services import redis_check

FRESH_SECONDS = 1.0
UNHEARD_SECONDS = 5.0
"""So long a Redis that did not answer is not asked again: others find out and say so."""
MIN_FREE_FILES = 1000
"""A file system without inodes is as full as one without bytes."""
RETRY_AFTER_SECONDS = 10
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says where a disk has no room."""
_MIB = 1024 * 1024


class NoRoom(Unavailable):
    """New work is not taken now."""

    retry_after_seconds = RETRY_AFTER_SECONDS


@dataclass(frozen=True, slots=True)
class Shortage:
    """`code` is a word of `app.domain.problems`, and the reason of runs that wait for room."""

    code: str
    message: str
    remedy: str


class Watermarks:
    """The shortages of this process's machine and of its Redis. Thread-safe; at most one thread looks at a time."""

    def __init__(
        self, settings: Settings, gauge: RedisGauge | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._gauge, self._clock = settings, gauge, clock
        self._folders = folders_of(settings)
        self._looking = threading.Lock()
        self._looked_at = self._redis_at = -UNHEARD_SECONDS
        self._found: Shortage | None = None

    def find_shortage(self) -> Shortage | None:
        """Return what there is too little of, None where there is room."""
        if self._clock() - self._looked_at < FRESH_SECONDS or not self._looking.acquire(blocking=False):
            return self._found
        try:
            found = self._look()
            if found != self._found:
                _tell(found)
            self._found, self._looked_at = found, self._clock()
        finally:
            self._looking.release()
        return found

    def require_room(self) -> None:
        """Raise NoRoom where no new work may be taken."""
        short = self.find_shortage()
        if short is not None:
            raise NoRoom(short.code, short.message, remedy=short.remedy)

    def _look(self) -> Shortage | None:
        return self._disk() or self._redis()

    def _disk(self) -> Shortage | None:
        if self._settings.min_free_bytes:
            for folder in self._folders:
                short = disk_shortage(folder, self._settings.min_free_bytes)
                if short is not None:
                    return short
        return None

    def _redis(self) -> Shortage | None:
        if self._gauge is None or self._clock() < self._redis_at:
            return None
        try:
            state = self._gauge.look()
        except Unavailable:
            self._redis_at = self._clock() + UNHEARD_SECONDS
            return None
        fault = redis_check.first_fatal(redis_check.faults_of(state, own=False))
        if fault is not None:
            return Shortage("redis_unfit", fault.message, fault.remedy)
        if state.append_error:
            return Shortage(
                "redis_full", f"{state.name} cannot write: {state.append_error}.", "Make room on the disk of Redis."
            )
        limit = state.limit_bytes * self._settings.redis_full_percent / 100
        if state.limit_bytes and state.used_bytes > limit:
            return Shortage(
                "redis_full",
                f"{state.name} uses {state.used_bytes // _MIB} MiB of the {state.limit_bytes // _MIB} MiB it may use.",
                "Raise its maxmemory, or remove what is not Paddock's.",
            )
        return None


def folders_of(settings: Settings) -> Sequence[Path]:
    """Return where this machine writes: what they are on may be one disk or several."""
    folders = [settings.root, *(settings.root / name for name in ("objects", "sandboxes", "redis"))]
    if settings.database.startswith("sqlite:"):
        folders.append(Path(settings.database.removeprefix("sqlite:///")).parent)
    return folders


def disk_shortage(folder: Path, min_free_bytes: int) -> Shortage | None:
    """Look at one folder's disk; None where there is room, or no such folder yet."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    free = found.f_bavail * found.f_frsize
    if free < min_free_bytes:
        return Shortage(
            "disk_full",
            f"Only {free // _MIB} MiB of the disk are free; new work is taken above {min_free_bytes // _MIB} MiB.",
            "Make room below PADDOCK_VAR (`du -sh` shows where it went); work goes on by itself.",
        )
    if found.f_files and found.f_favail < MIN_FREE_FILES:
        return Shortage(
            "disk_full",
            "The disk can hold hardly any more files.",
            "Remove files below PADDOCK_VAR; work goes on by itself.",
        )
    return None


def _tell(found: Shortage | None) -> None:
    if found is None:
        logger.info("room for new work again")
    else:
        logger.bind(code=found.code, why=found.message).warning("no room for new work")
