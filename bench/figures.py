"""Samples and what is said of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a sample, in the sample's unit."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float

    @staticmethod
    def of(samples: Iterable[float]) -> Spread:
        ordered = sorted(samples)
        if not ordered:
            return Spread(0, float("nan"), float("nan"), float("nan"), float("nan"))

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return Spread(len(ordered), at(0.5), at(0.9), at(0.99), ordered[-1])

    def times(self, factor: float) -> Spread:
        """Return the same in another unit."""
        return Spread(self.count, self.p50 * factor, self.p90 * factor, self.p99 * factor, self.most * factor)


def milliseconds(spread: Spread) -> dict[str, float]:
    """Return the columns of a table for a sample in seconds."""
    shown = spread.times(1000)
    return {"n": shown.count, "p50 ms": shown.p50, "p99 ms": shown.p99, "max ms": shown.most}


def rounds(usual: int) -> int:
    """Return how often to measure: fewer than usual where BENCH_ROUNDS says so, for a first look."""
    return min(usual, int(os.environ.get("BENCH_ROUNDS", usual)))
