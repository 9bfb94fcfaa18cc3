"""Attempts are bounded: who kills its worker or its executor each time ends as `poison`, who dies itself as what it died of (R3)."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from app import db
from app.domain.journal import agent_id
from app.models import AgentRun
from app.ports import ExecutorError
from app.services.log_check import check
from tests.support.fleet import Fleet, open_fleet
from tests.support.sandboxes import executor_pid
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world

ENDED = 240

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
long_only = pytest.mark.skipif(not LONG, reason="takes minutes: make faults")


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {"lease_seconds": 4.0, "retry_delay_ms": 1.0, "max_attempts": 3}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


class Killer:
    """Watches one run, and kills what `find` names for each new lease of it."""

    def __init__(self, world: World, run: AgentRun, strike: Callable[[AgentRun], bool]) -> None:
        self._world, self._run, self._strike = world, run, strike
        self.struck = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        with db.connection():
            while not self._done.wait(0.01):
                run = self._world.run(self._run.id)
                if run.finished_at is None and self._strike(run):
                    self.struck += 1


def holder_of(fleet: Fleet, run: AgentRun) -> int | None:
    """Return the index of the worker that has a lease of the run: owners are named `host:pid:…`."""
    numbers = set(re.findall(r"\d+", run.lease_owner or ""))
    return next((i for i, worker in enumerate(fleet.workers) if str(worker.pid) in numbers), None)


@long_only
@pytest.mark.promise("R3")
@pytest.mark.timeout(900)
def test_a_run_that_kills_each_worker_before_it_says_anything_is_poison(world: World, figures: Figures) -> None:
    run = world.create("/sleep 600")
    with open_fleet(world, 2) as fleet:
        struck: set[int] = set()

        def strike(row: AgentRun) -> bool:
            index = holder_of(fleet, row)
            counted_out = row.deaths >= world.settings.max_attempts  # this holder ends the run, which takes it a moment
            if row.epoch in struck or index is None or counted_out or "run.started" not in world.types(row.id):
                return False
            struck.add(row.epoch)
            fleet.workers[index].kill()
            fleet.workers[index].wait()
            fleet.workers[index] = fleet._spawn("workers", "runs")
            return True

        with Killer(world, run, strike) as killer:
            eventually(lambda: world.run(run.id).finished_at, ENDED, what="the run ends")
        other = world.create("hello")
        eventually(lambda: world.run(other.id).finished_at, ENDED, what="another run ends")
    ended = world.run(run.id)
    assert (ended.status, ended.failure_code, ended.failures, ended.deaths) == ("failed", "poison", 3, 3)
    assert world.run(other.id).status == "succeeded"
    assert check(run.id, world.container.stream) == []
    figures.add("workers killed", killer.struck, bar="<= 4", met=killer.struck <= 4)


def executor_of(world: World, run: AgentRun) -> int:
    """Return the pid of the executor that runs the agent of this attempt; 0 while there is none."""
    executor = world.container.sandboxes.connect(run.session_id)
    try:
        agent = executor.find_agent(agent_id(run.id, run.attempt)) if executor is not None else None
        return executor_pid(world.container.sandboxes, run.session_id) if agent is not None and agent.running else 0
    except ExecutorError:
        return 0


@long_only
@pytest.mark.promise("R3")
@pytest.mark.timeout(900)
def test_a_run_whose_executor_dies_each_time_is_poison_after_three(world: World) -> None:
    run = world.create("/say hello\n/sleep 600")
    with open_fleet(world, 1):
        struck: set[int] = set()

        def strike(row: AgentRun) -> bool:
            pid = 0 if row.attempt in struck else executor_of(world, row)
            if not pid:
                return False
            struck.add(row.attempt)
            os.kill(pid, signal.SIGKILL)
            return True

        with Killer(world, run, strike) as killer:
            others = [world.create("hello") for _ in range(3)]
            eventually(lambda: world.run(run.id).finished_at, ENDED, what="the run ends")
            eventually(lambda: all(world.run(other.id).finished_at for other in others), ENDED, what="others end")
    ended = world.run(run.id)
    assert (ended.status, ended.failure_code, ended.failures, killer.struck) == ("failed", "poison", 3, 3)
    assert {world.run(other.id).status for other in others} == {"succeeded"}
    assert check(run.id, world.container.stream) == []


@pytest.mark.promise("R3")
@pytest.mark.timeout(900)
def test_an_agent_that_is_killed_for_its_memory_each_time_keeps_its_own_failure(world: World) -> None:
    run = world.create("/say hello\n/crash")
    with open_fleet(world, 1):
        eventually(lambda: world.run(run.id).finished_at, ENDED, what="the run ends")
    ended = world.run(run.id)
    assert (ended.status, ended.failures, ended.attempt) == ("failed", 3, 3)
    assert ended.failure_code in ("incomplete", "provider_no_output")  # resumed, it has said what it had to say
    assert "signal:9" in ended.failure_message
    assert check(run.id, world.container.stream) == []
