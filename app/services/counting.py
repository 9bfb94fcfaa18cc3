"""Counting what happens often: in this process first, added to the installation's tally once a second.

What the tally does not take now is kept and added later: the number of series is bounded. What happens seldom (a job of
maintenance) goes to the tally at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from app.domain.metrics import METRICS, series
from app.errors import Unavailable
from app.log import logger
from app.ports import Tally

FLUSH_SECONDS = 1.0
MICROS = 1_000_000


class Counters:
    """Safe for many threads. Its own thread starts with the first count, so that it may be made before a fork."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._running = False

    def add(self, name: str, labels: Mapping[str, object], amount: int = 1) -> None:
        self._merge({series(name, labels): amount})

    def observe(self, name: str, labels: Mapping[str, object], seconds: float) -> None:
        """Count one duration in a histogram."""
        counts = {
            series(f"{name}_bucket", {**labels, "le": bound}): 1 for bound in METRICS[name].buckets if seconds <= bound
        }
        counts[series(f"{name}_bucket", {**labels, "le": "+Inf"})] = 1
        counts[series(f"{name}_count", labels)] = 1
        counts[series(f"{name}_sum", labels)] = int(max(0.0, seconds) * MICROS)
        self._merge(counts)

    def flush(self) -> None:
        """Add to the tally what it lacks."""
        with self._flushing:
            with self._lock:
                counts, self._counts = self._counts, Counter()
            if not counts:
                return
            try:
                self._tally.merge(counts)
            except Unavailable:
                with self._lock:
                    self._counts.update(counts)

    def _merge(self, counts: Mapping[str, int]) -> None:
        with self._lock:
            self._counts.update(counts)
            start, self._running = not self._running, True
        if start:
            threading.Thread(target=self._keep_flushing, name="counters", daemon=True).start()

    def _keep_flushing(self) -> None:
        pause = threading.Event()
        while not pause.wait(FLUSH_SECONDS):
            try:
                self.flush()
            except Exception as error:  # noqa: BLE001 - without this thread nothing would be counted any more
                logger.warning("not counted", error=repr(error))
