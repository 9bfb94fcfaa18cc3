"""Maintenance on a real back end: what is found without a holder, and that two schedulers do nothing twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.container import Container, build
from app.domain.journal import agent_id
from app.domain.run_state import RunStatus
from app.models import AgentRun, ChatSession, RunEvent, SessionWorker, Snapshot
from app.ports import EVERY_GENERATION
from app.services.log_check import check
from app.services.maintenance import RUNS, Job
from app.services.queue_drain import Drain
from tests.support.waiting import eventually
from tests.support.world import World, open_world, yes

SETTINGS: dict[str, Any] = {
    "retry_delay_ms": 1.0,
    "stop_grace_seconds": 0.3,
    "idle_seconds": 0.0,
    "remove_after_seconds": 0.0,
    "waiting_keep_seconds": 0.0,
}
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ALL = {"approval": "all"}


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, **SETTINGS) as world:
        yield world


def job(container: Container, name: str) -> Job:
    return next(each for each in container.maintenance.jobs() if each.name == name)


def run_now(world: World, name: str) -> Mapping[str, int]:
    return world.container.maintenance.run(job(world.container, name))


def let_go(world: World, prompt: str = "/approve go on?") -> AgentRun:
    world.create(prompt)
    run = world.drive()
    assert run.let_go_at is not None
    return run


# --- reconcile ---------------------------------------------------------------------------------------------------------------


def compared(world: World) -> dict[str, tuple[str, str]]:
    """Return outcome and truth by run."""
    going = world.container.reconcile.begin(world.user.tenant_id)
    result = eventually(going.find_result)
    assert result["checked"] == len(result["items"])
    return {item["runId"]: (item["outcome"], item["detail"]) for item in result["items"]}


@sqlite_only
def test_a_run_whose_lease_is_held_is_left_alone(world: World) -> None:
    run = world.create("hello")
    assert world.claim() is not None
    assert compared(world) == {}
    world.expire_lease(run.id)
    assert set(compared(world)) == {run.id}


@sqlite_only
def test_the_executor_says_what_became_of_runs_that_nobody_holds(world: World) -> None:
    working = world.drop("/slow 200 50")
    executor = world.container.sandboxes.connect(working.session_id)
    assert compared(world) == {working.id: ("done", "the agent is at work")}
    executor.fence(working.id, working.epoch)
    executor.signal(agent_id(working.id, 1), "KILL", key="test", epoch=working.epoch)
    eventually(lambda: not executor.find_agent(agent_id(working.id, 1)).running)
    outcome, truth = compared(world)[working.id]
    assert (outcome, truth.partition(":")[0]) == ("done", "the agent has ended")
    world.container.sandboxes.stop(working.session_id, EVERY_GENERATION)
    assert compared(world) == {working.id: ("done", "the sandbox does not run")}
    assert world.run(working.id).status == RunStatus.RUNNING  # nothing is decided here
    assert world.drive().status == RunStatus.QUEUED


@sqlite_only
def test_a_waiting_run_is_taken_up_only_where_its_agent_moved(world: World) -> None:
    run = let_go(world)
    assert compared(world) == {run.id: ("skipped", "waits for a person; its agent too")}
    assert world.claim() is None
    world.container.sandboxes.stop(run.session_id, EVERY_GENERATION)
    assert compared(world)[run.id][0] == "done"
    assert world.claim() is not None


@sqlite_only
def test_other_tenants_runs_are_not_compared(world: World) -> None:
    run = world.create("hello")
    assert world.claim() is not None
    world.expire_lease(run.id)
    going = world.container.reconcile.begin("tnt_other")
    assert eventually(going.find_result)["checked"] == 0


# --- drain -------------------------------------------------------------------------------------------------------------------


def test_a_drain_waits_for_the_work_and_tells_what_became_of_it(world: World) -> None:
    first = world.create("hello")
    world.create("/fail transport_error 1", first.session_id)  # fails once, is tried again
    doomed = world.create("/fail model_invalid")
    blocked = world.create("hello", required=("images",))
    drain = Drain(world.user.tenant_id, world.container.bell)
    assert drain.find_result() is None
    other = Drain("tnt_other", world.container.bell)
    assert other.find_result() == {"succeeded": 0, "retried": 0, "failed": 0, "canceled": 0}
    result = None
    end = time.monotonic() + 60
    while result is None and time.monotonic() < end:
        claim = world.claim()
        if claim is not None:
            world.driver(claim).drive()
        result = drain.find_result() if not AgentRun.select().where(AgentRun.finished_at.is_null()).exists() else None
    assert result == {"succeeded": 2, "retried": 1, "failed": 2, "canceled": 0}
    assert {world.run(run.id).status for run in (doomed, blocked)} == {"failed", "blocked"}


@sqlite_only
def test_a_drain_does_not_wait_for_people(world: World) -> None:
    drain = Drain(world.user.tenant_id, world.container.bell)
    let_go(world)
    assert drain.find_result() == {"succeeded": 0, "retried": 0, "failed": 0, "canceled": 0}


# --- two schedulers ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twice:
    """Two schedulers' processes over the same stores."""

    containers: tuple[Container, Container]

    def run(self, name: str) -> list[int]:
        """Run a job in both at the same moment; return how much each says it did."""
        gate = threading.Barrier(2)

        def one(container: Container) -> int:
            gate.wait()
            did = container.maintenance.run(job(container, name))
            return sum(count for what, count in did.items() if what != "failed")

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(one, self.containers))


@pytest.fixture
def twice(world: World) -> Twice:
    other = build(world.settings)
    db.bind(world.container.database)
    return Twice((world.container, other))


@pytest.mark.promise("R16")
def test_two_schedulers_take_up_each_waiting_run_once(world: World, twice: Twice) -> None:
    waiting = [let_go(world) for _ in range(3)]
    for run in waiting:
        world.container.sandboxes.stop(run.session_id, EVERY_GENERATION)
    assert sum(twice.run("look_at_waiting")) == 3
    claims = [world.claim() for _ in range(4)]
    assert sorted(claim.run.id for claim in claims if claim is not None) == sorted(run.id for run in waiting)


@pytest.mark.promise("R16")
def test_two_schedulers_stop_save_and_remove_each_sandbox_once(world: World, twice: Twice) -> None:
    sessions = []
    for number in range(3):
        run = world.create(f"/write a.txt {number}", options=ALL)
        world.drive()
        sessions.append(run.session_id)
    SessionWorker.update(last_sync_status="failed", last_sync_at=None).execute()
    rows = Snapshot.select().count()
    twice.run("sync_stale")
    assert {worker.last_sync_status for worker in SessionWorker.select()} == {"succeeded"}
    assert Snapshot.select().count() == rows  # nothing had changed since
    twice.run("stop_idle")
    for worker in SessionWorker.select():
        assert (worker.status, worker.generation, worker.receipt["generation"]) == ("stopped", 1, 1)
        newest = Snapshot.get_by_id(worker.receipt["snapshotId"])
        frozen = Snapshot.select().where(Snapshot.session_id == worker.session_id, Snapshot.reason == "stop")
        assert (frozen.count(), newest.fuzzy) == (1, 0)
    twice.run("remove_stopped")
    for session_id in sessions:
        assert SessionWorker.get_by_id(session_id).status == "deleted"
        assert not (world.settings.root / "sandboxes" / session_id).exists()
        world.create("/read a.txt", session_id)
        assert world.drive().status == "succeeded"


@pytest.mark.promise("R16")
def test_two_schedulers_stop_the_sandbox_of_a_waiting_run_once(world: World, twice: Twice) -> None:
    run = let_go(world, "/write a.txt kept")
    twice.run("stop_waiting")
    worker = SessionWorker.get_by_id(run.session_id)
    assert (worker.status, worker.receipt["generation"]) == ("stopped", worker.generation)
    assert world.run(run.id).sandbox_stopped_at is not None
    world.answer(yes)
    run = world.drive()
    assert (run.status, run.attempt) == ("succeeded", 2)


@pytest.mark.promise("R16")
def test_two_schedulers_ring_for_a_run_and_one_worker_drives_it(world: World, twice: Twice) -> None:
    run = world.drop("/slow 60 50")
    assert min(twice.run("sweep_runs")) == 1
    assert min(twice.run("reconcile_runs")) == 1
    claims = [world.claim(), world.claim()]
    assert [claim.run.id for claim in claims if claim is not None] == [run.id]
    world.driver(claims[0]).drive()
    ended = world.run(run.id)
    assert (ended.status, ended.attempt, ended.epoch) == ("succeeded", 1, 2)
    started = RunEvent.select().where(RunEvent.run_id == run.id, RunEvent.type == "run.started")
    assert started.count() == 1


@pytest.mark.promise("R16")
def test_two_schedulers_close_each_stream_and_leave_the_log_whole(world: World, twice: Twice) -> None:
    runs = [world.create("hello") for _ in range(3)]
    for _ in runs:
        world.drive()
    AgentRun.update(stream_closed_at=None).execute()
    twice.run("close_streams")
    for run in runs:
        assert world.run(run.id).stream_closed_at is not None
        assert check(run.id, world.container.stream) == []


@pytest.mark.promise("R16")
def test_two_schedulers_ring_for_a_wish_that_is_granted_once(world: World, twice: Twice) -> None:
    run = world.create("/write a.txt x", options=ALL)
    world.drive()
    workers = world.container.session_workers
    workers.wish(run.session_id, "stop")
    assert twice.run("ring_wishes") == [1, 1]
    assert [container.session_workers.grant_wishes() for container in twice.containers] == [1, 0]
    worker = SessionWorker.get_by_id(run.session_id)
    assert (worker.status, worker.wish, worker.wish_error) == ("stopped", None, None)


@pytest.mark.promise("R16")
def test_every_job_runs_twice_at_once_on_an_installation_without_work(world: World, twice: Twice) -> None:
    names = [each.name for each in world.container.maintenance.jobs()]
    assert [twice.run(name) for name in names] == [[0, 0] for _ in names]
    counted = world.container.tally.read()
    assert {name: counted[f'{RUNS}{{job="{name}"}}'] for name in names} == dict.fromkeys(names, 2)
    assert ChatSession.select().count() == 0
