"""Waiting for somebody else's work within a request: look again with growing pauses, holding nothing meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from web.guard import release_connection

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.2


def wait_for(look: Callable[[], T | None], timeout_ms: int) -> T | None:
    """Call `look` until it returns something, or until the time is over; it is called at least once."""
    end = time.monotonic() + timeout_ms / 1000
    pause = FIRST_PAUSE_SECONDS
    while True:
        found = look()
        left = end - time.monotonic()
        if found is not None or left <= 0:
            return found
        release_connection()
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
