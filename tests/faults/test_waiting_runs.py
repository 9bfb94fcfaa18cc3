"""Many runs that wait for people on one worker: others start at once, every answer arrives, live or to a stopped agent (P2)."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models import AgentRun, HumanLoopRequest
from app.services import human_loop
from tests.support.fleet import open_fleet
from tests.support.waiting import eventually
from tests.support.world import World, open_world

LONG = bool(os.environ.get("PADDOCK_FAULTS_LONG"))
RUNS, LIVE = (500, 100) if LONG else (12, 4)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, waiting_max=LIVE) as world:
        yield world


def answered_in(world: World, runs: list[AgentRun]) -> float:
    """Answer each run's request, one after the other, and return the 95th percentile of the seconds until the agent went on."""
    seconds = []
    for run in runs:
        request = HumanLoopRequest.get(HumanLoopRequest.run_id == run.id, HumanLoopRequest.status == "open")
        begun = time.monotonic()
        human_loop.reply(request, human_loop.Reply(decision="allow"), world.user.id, world.container.bell)
        eventually(lambda: world.run(run.id).status in ("running", "succeeded"), what=f"{run.id} goes on")  # noqa: B023
        seconds.append(time.monotonic() - begun)
    return statistics.quantiles(seconds, n=20)[-1]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_waiting_runs_hold_no_worker_and_few_sandboxes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"PADDOCK_WAITING_MAX": str(LIVE), "PADDOCK_WORKER_THREADS": "8"}
    with open_fleet(world, 1, **settings):
        ids = [world.create("/run echo ran >> ran.txt").id for _ in range(RUNS)]
        mine = AgentRun.id.in_(ids)
        eventually(
            lambda: AgentRun.select().where(mine, AgentRun.let_go_at.is_null(False)).count() == RUNS,
            900,
            what="all runs wait without a holder",
        )
        stopped = (AgentRun.sandbox_stopped_at.is_null(False)) & mine
        eventually(
            lambda: (
                AgentRun.select().where(stopped).count() >= RUNS - LIVE
                and len(world.container.sandboxes.list_running()) <= LIVE
            ),
            600,
            what="all but the newest sandboxes are stopped",
        )
        begun = time.monotonic()
        fresh = world.create("hello").id
        eventually(lambda: world.run(fresh).status == "succeeded", what="another run starts at once")
        other = time.monotonic() - begun
        rows = list(AgentRun.select().where(mine))
        live = [run for run in rows if run.sandbox_stopped_at is None]
        asleep = [run for run in rows if run.sandbox_stopped_at is not None]
        figures = (answered_in(world, live), answered_in(world, asleep))
        eventually(lambda: not AgentRun.select().where(mine, AgentRun.finished_at.is_null()).exists(), 300)
    with capsys.disabled():
        print(
            f"\nP2 {world.settings.database.split(':')[0]}: {len(live)} live, {len(asleep)} stopped; another run ended in {other:.2f} s; "
            f"answer to going on p95: live {figures[0]:.2f} s (bar 1), stopped {figures[1]:.2f} s (bar 3)"
        )
    for run_id in ids:
        run = world.run(run_id)
        assert run.status == "succeeded", (run.failure_code, run.failure_message)
        results = [event.data for event in world.events(run_id) if event.type == "tool.result"]
        assert [result["status"] for result in results] == ["ok"]  # what was approved was done, once
