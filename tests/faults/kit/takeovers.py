"""How long runs are without a holder: samples of the time from a signal to a worker until another worker holds each of its runs,
measured from the leases in SQL."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Collection, Sequence

from app.models import AgentRun
from tests.support.waiting import eventually


def holdings(run_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return the epochs of the runs that are held, by owner and run."""
    held: dict[str, dict[str, int]] = {}
    rows = AgentRun.select(AgentRun.id, AgentRun.epoch, AgentRun.lease_owner).where(
        AgentRun.id.in_(list(run_ids)), AgentRun.finished_at.is_null(), AgentRun.lease_owner.is_null(False)
    )
    for row in rows:
        held.setdefault(row.lease_owner, {})[row.id] = row.epoch
    return held


def seconds_without_holder(pid: int, owner: str, number: signal.Signals, mine: dict[str, int]) -> list[float]:
    """Signal the worker `pid`, which holds `mine` (run -> epoch) as `owner`; return for each run how long it took until another had it."""
    os.kill(pid, number)
    sent_at = time.monotonic()
    left, taken = dict(mine), dict[str, float]()

    def look() -> bool:
        now = time.monotonic()
        rows = AgentRun.select(AgentRun.id, AgentRun.epoch, AgentRun.lease_owner).where(AgentRun.id.in_(list(left)))
        for row in list(rows):
            if row.epoch > left[row.id] and row.lease_owner not in (None, owner):
                taken[row.id] = now - sent_at
                del left[row.id]
        return not left

    eventually(look, 90, what="others hold the runs")
    return list(taken.values())


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that `share` of all are at most."""
    return sorted(samples)[max(0, math.ceil(len(samples) * share) - 1)]
