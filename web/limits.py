"""Limits: calls of a principal (each web process counts its own), and failed log-ins (counted in Redis). Streams: `open_streams`.

The first guards against a client gone wild, so it is generous and needs no round trip; the second guards against guessing,
so it is counted in one place and log-in is closed while that place is down (promise S8).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from app.errors import LimitExceeded, Unavailable

LOGIN_TRIES = 10
LOGIN_WINDOW_SECONDS = 300
BURST_SECONDS = 10
"""A principal that was quiet may make this many seconds' worth of calls at once."""


class TryCounter(Protocol):
    """Counts tries in a window, across processes."""

    def add(self, name: str, window_seconds: int) -> tuple[int, int]:
        """Count one and return `(count, seconds until the window ends)`; raises Unavailable."""

    def take_back(self, name: str) -> None: ...


class CallLimit:
    """A token bucket per principal."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60
        self._most = max(1.0, self._rate * BURST_SECONDS)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, user_id: str) -> None:
        """Count one call; raises LimitExceeded `rate_limited`."""
        now = self._clock()
        left, at = self._buckets.get(user_id, (self._most, now))
        left = min(self._most, left + (now - at) * self._rate)
        if left < 1:
            wait = int((1 - left) / self._rate) + 1
            raise LimitExceeded("rate_limited", "Too many calls of one principal.", retry_after_seconds=wait)
        self._buckets[user_id] = (left - 1, now)


class LoginLimit:
    """Failed log-ins by address. A try is counted before it is checked, and taken back when it succeeds."""

    def __init__(self, counter: TryCounter) -> None:
        self._counter = counter

    @contextmanager
    def attempt(self, address: str) -> Iterator[None]:
        """Guard one try. Raises LimitExceeded `rate_limited`, or Unavailable `login_closed` where nobody can count."""
        name = f"login:{address or 'local'}"
        try:
            count, wait = self._counter.add(name, LOGIN_WINDOW_SECONDS)
        except Unavailable:
            raise Unavailable("login_closed", "Logging in is closed while its limiter is down.") from None
        if count > LOGIN_TRIES:
            raise LimitExceeded("rate_limited", "Too many failed log-ins.", retry_after_seconds=max(1, wait))
        yield
        self._counter.take_back(name)
