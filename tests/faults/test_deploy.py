"""A deploy: every worker is told to stop at once while runs stream to people, and new ones are started. Nobody may notice (P6)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from app.models import AgentRun
from tests.faults.kit.checker import Scope, examine
from tests.faults.kit.live_runs import all_stream, stop_all
from tests.support.fleet import Fleet, open_fleet
from tests.support.stream_clients import SseClient
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import serving
from tests.support.world import World, open_world

LIVE, PACE_SECONDS, DEPLOYS = (100, 1.0, 2) if LONG else (8, 0.3, 1)
GAP_SECONDS = 5.0
MORE_EVENTS = 4
"""That each client gets after a deploy before the next."""


class Watcher(SseClient):
    """Notes when each event came."""

    def __init__(self, url: str, token: str, run_id: str) -> None:
        super().__init__(url, token, run_id, patience=900)
        self.times: list[float] = []

    def _take(self, kind: str, data: bytes) -> None:
        if kind != "heartbeat":
            self.times.append(time.monotonic())
        super()._take(kind, data)

    def longest_gap(self, since: float, until: float) -> float:
        """Return the longest time without an event between these moments."""
        return max(later - earlier for earlier, later in pairwise(self.times) if later >= since and earlier <= until)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url) as world:  # the lease that users have
        yield world


@pytest.mark.promise("P6")
@pytest.mark.timeout(1200)
def test_a_deploy_under_live_runs_is_not_noticed(world: World, figures: Figures) -> None:
    threads = {"PADDOCK_WORKER_THREADS": str(LIVE), "PADDOCK_SWEEP_SECONDS": "5"}
    with serving(world.settings) as web, open_fleet(world, 2, **threads) as fleet, fleet.mending():
        prompt = f"/slow 5000 {PACE_SECONDS * 1000:.0f}"
        ids = [world.create(prompt, options={"approval": "all"}).id for _ in range(LIVE)]
        watchers = [Watcher(web.url, "pdk_world", run_id) for run_id in ids]
        for watcher in watchers:
            watcher.start()
        eventually(lambda: all_stream(ids), 300, what="all runs stream")
        gaps = [deploy(fleet, ids, watchers) for _ in range(DEPLOYS)]
        stop_all(world, ids)
        for watcher in watchers:
            watcher.finish()
    heard = {watcher.run_id: watcher for watcher in watchers}
    found = examine(world.container, Scope(ids, ("canceled",), lambda run_id: [heard[run_id].envelopes]))
    assert found.wrong == {}, str(found)
    assert found.starts == LIVE
    assert {run.attempt for run in AgentRun.select().where(AgentRun.id.in_(ids))} == {1}
    assert all(watcher.connections == 1 and watcher.resets == 0 for watcher in watchers)
    assert found.events == sum(len(watcher.frames) for watcher in watchers)
    gap = max(gaps) - PACE_SECONDS
    figures.add("runs that a deploy restarted", f"0 of {LIVE}, {len(gaps)} deploys", "0", True)
    figures.add(
        "longest time without an event beyond their pace", f"{gap:.2f} s", f"<= {GAP_SECONDS:g} s", gap <= GAP_SECONDS
    )


def deploy(fleet: Fleet, ids: Sequence[str], watchers: Sequence[Watcher]) -> float:
    """Tell all workers to stop, and wait until each run streams from another; return the longest gap that a client saw."""
    epochs = {run.id: run.epoch for run in AgentRun.select().where(AgentRun.id.in_(list(ids)))}
    since = time.monotonic()
    for pid in fleet.ready():
        os.kill(pid, signal.SIGTERM)

    def taken_over() -> bool:
        rows = AgentRun.select().where(AgentRun.id.in_(list(ids)), AgentRun.lease_owner.is_null(False))
        return sum(run.epoch > epochs[run.id] for run in rows) == len(ids)

    eventually(taken_over, 120, what="other workers hold all runs")
    had = [len(watcher.frames) for watcher in watchers]
    eventually(
        lambda: all(len(w.frames) >= n + MORE_EVENTS for w, n in zip(watchers, had, strict=True)),
        120,
        what="all runs stream again",
    )
    eventually(fleet.is_ready, 90, what="the new workers are ready")
    return max(watcher.longest_gap(since, time.monotonic()) for watcher in watchers)
