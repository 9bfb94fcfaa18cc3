"""Waiting for something to become true, with a deadline. Tests never sleep for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_SECONDS = 60.0  # of a machine that is busy: nobody waits so long for what comes


def eventually(
    condition: Callable[[], T],
    deadline: float = DEADLINE_SECONDS,
    *,
    what: str = "",
    ignore: tuple[type[Exception], ...] = (),
) -> T:
    """Call `condition` until it returns something true and return that; AssertionError after `deadline` seconds.

    Exceptions of the types in `ignore` count as "not yet"; the last one is shown when time is up.
    """
    end = time.monotonic() + deadline
    pause = 0.002
    while True:
        problem: Exception | None = None
        value = None
        try:
            value = condition()
            if value:
                return value
        except ignore as error:
            problem = error
        if time.monotonic() > end:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"{name} did not come true in {deadline:g} s; last: {problem or value!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
