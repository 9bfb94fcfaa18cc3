"""Whether this process gets on: when each of its loops turned last, and what has gone wrong in it since.

A loop tells that it turned from within itself; a clock that ticks beside a loop that stands would tell nothing. What is made of it
for the whole installation is in `process_health`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

STANDING_SECONDS = 4.0
"""A loop that fails for so long, and goes on failing, is not a blip."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """A loop that does not get on, for how long, and why."""

    loop: str
    seconds: float
    why: str


@dataclass(slots=True)
class _Loop:
    limit: float | None = None
    turned_at: float | None = None
    failing_since: float | None = None
    failed_at: float = 0.0
    error: str = ""


class Progress:
    """Safe for many threads: each value is written whole. A loop counts from its first turn on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loops: dict[str, _Loop] = {}

    def expect(self, loop: str, seconds: float) -> None:
        """Let this loop be stuck when it has not turned for so long."""
        self._loop(loop).limit = seconds

    def turned(self, loop: str) -> None:
        """The loop came round, and what it did there worked."""
        found = self._loop(loop)
        found.turned_at, found.failing_since = self._clock(), None

    def failed(self, loop: str, error: Exception) -> None:
        """The loop came round, and what it does there failed."""
        found, now = self._loop(loop), self._clock()
        found.error = f"{type(error).__name__}: {error}"[:200]
        found.failed_at = now
        if found.failing_since is None:
            found.failing_since = now

    def rest(self, loop: str) -> None:
        """The loop has ended on purpose."""
        self._loop(loop).turned_at = self._loop(loop).failing_since = None

    def find_stuck(self) -> Stuck | None:
        """Return the loop that has been stuck for longest; None where all get on."""
        found = [stuck for name, loop in list(self._loops.items()) if (stuck := self._look(name, loop))]
        return max(found, key=lambda stuck: stuck.seconds, default=None)

    def _look(self, name: str, loop: _Loop) -> Stuck | None:
        now, since = self._clock(), loop.failing_since
        if since is not None and now - since >= STANDING_SECONDS and now - loop.failed_at < 5 * STANDING_SECONDS:
            return Stuck(name, now - since, loop.error)
        if loop.limit is not None and loop.turned_at is not None and now - loop.turned_at > loop.limit:
            return Stuck(name, now - loop.turned_at, "it does not turn")
        return None

    def _loop(self, name: str) -> _Loop:
        return self._loops.setdefault(name, _Loop())
