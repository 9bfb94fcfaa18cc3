"""The right of one worker to drive a run, as its holder knows it. ARCHITECTURE decision 2.

The database's clock decides about leases; the holder counts itself out by its own monotonic clock a sixth of the lease
before the end, so that a process that was stopped for a while knows that it has lost before anybody tells it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from app.errors import LeaseLost


class Lease:
    """One lease of one run. Thread-safe: a renewing thread extends it, the driver asks `held()` before each effect."""

    def __init__(
        self, run_id: str, epoch: int, owner: str, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.run_id, self.epoch, self.owner, self.seconds = run_id, epoch, owner, seconds
        self._clock = clock
        self._asked_at = clock()
        self._lost = threading.Event()

    def renewed(self, asked_at: float) -> None:
        """The database confirmed a renewal that was asked for at `asked_at` (monotonic seconds)."""
        self._asked_at = max(self._asked_at, asked_at)

    def lose(self) -> None:
        """Another holder has it, or it was handed back: final."""
        self._lost.set()

    def held(self) -> bool:
        return not self._lost.is_set() and self._clock() < self._asked_at + self.seconds * 5 / 6

    def require(self) -> None:
        """Raise LeaseLost unless the lease is held."""
        if not self.held():
            self.lose()
            raise LeaseLost(f"run {self.run_id}: the lease of epoch {self.epoch} is over")
