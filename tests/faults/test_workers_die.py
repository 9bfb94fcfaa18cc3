"""Worker processes killed, stopped and continued at random moments: the agent goes on, the log has no gap (P1, R1, R2)."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.run_state import TERMINAL
from app.models import AgentRun, RunEvent
from app.services.log_check import check
from tests.support.fleet import open_fleet
from tests.support.journals import logged, starts_of, stepped_once
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=2.0, max_attempts=1000) as world:
        yield world


def all_ended(ids: list[str]) -> bool:
    open_runs = AgentRun.select().where(AgentRun.id.in_(ids), AgentRun.finished_at.is_null())
    return not open_runs.exists()


def assert_ended_well(world: World, ids: list[str]) -> None:
    for run_id in ids:
        run = world.run(run_id)
        assert (run.status, run.attempt) == ("succeeded", 1), (
            run_id,
            run.status,
            run.failure_code,
            run.failure_message,
        )
        assert starts_of(world.container, run) == 1
        assert logged(run) == stepped_once(world.container, run)
        assert check(run_id, world.container.stream) == []
        kinds = world.types(run_id)
        for kind in ("run.started", "run.finished", "run.closed"):
            assert kinds.count(kind) == 1, (run_id, kind)


@pytest.mark.promise("P1", "R1")
@pytest.mark.timeout(900)
def test_a_killed_worker_costs_nothing(world: World, figures: Figures) -> None:
    kills = 50 if LONG else 8
    with open_fleet(world, 2) as fleet, world.answering():
        runs = [world.create("/steps 12").id for _ in range(4)]
        killed = 0
        while killed < kills:
            if all_ended(runs):
                runs.append(world.create("/steps 12").id)
            threading.Event().wait(random.uniform(0.05, 1.2))  # the random moment of the kill
            fleet.kill_one()
            killed += 1
        eventually(lambda: all_ended(runs), 40, what="all runs end")
        assert_ended_well(world, runs)
    figures.add(
        "workers killed",
        f"{kills} under {len(runs)} runs, each agent started once",
        ">= 50 kills",
        kills >= 50 or not LONG,
    )


@pytest.mark.promise("R2")
@pytest.mark.timeout(600)
def test_a_worker_that_was_stopped_beyond_its_lease_writes_nothing_more(world: World) -> None:
    for _ in range(10 if LONG else 1):
        stop_and_continue_a_worker(world)


def stop_and_continue_a_worker(world: World) -> None:
    with open_fleet(world, 1) as fleet:
        run = world.create("/slow 300 20")
        eventually(lambda: RunEvent.select().where(RunEvent.run_id == run.id).count() > 8, what="the run streams")
        fleet.workers[0].send_signal(signal.SIGSTOP)
        with open_fleet(world, 1):
            eventually(lambda: world.run(run.id).epoch >= 2, what="the lease is taken")
            fleet.workers[0].send_signal(signal.SIGCONT)
            eventually(lambda: world.run(run.id).status in TERMINAL, 60, what="the run ends")
            eventually(lambda: "lease lost" in fleet.log(), what="the stopped worker knows that it has lost")
        assert_ended_well(world, [run.id])
