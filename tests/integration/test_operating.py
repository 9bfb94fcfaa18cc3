"""Draining a worker process for real, and stopping all runs of a tenant at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, RunCommand, WorkerProcess
from app.services import worker_processes
from app.services.log_check import check
from app.services.stop_all import stop_all
from tests import cast, factories
from tests.factories import SilentBell
from tests.support.fleet import open_fleet
from tests.support.waiting import eventually
from tests.support.world import World, open_world

ALL = {"approval": "all"}


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, stop_grace_seconds=0.3) as world:
        yield world


def ready() -> list[WorkerProcess]:
    return [each for each in worker_processes.list_living() if each.state == "ready"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_drained_worker_hands_its_runs_over_and_takes_none_until_it_is_told(world: World) -> None:
    with open_fleet(world, 2):
        first, second = sorted(eventually(lambda: ready() if len(ready()) == 2 else []), key=lambda each: each.name)
        runs = [world.create("/slow 600 50", options=ALL) for _ in range(3)]
        wanted = [run.id for run in runs]

        def held_by() -> set[str | None]:
            rows = AgentRun.select().where(AgentRun.id.in_(wanted))
            return {row.lease_owner if row.status == "running" else None for row in rows}

        eventually(lambda: None not in held_by())
        worker_processes.drain([first.name])
        eventually(lambda: held_by() == {second.name}, what="handing over")
        eventually(lambda: worker_processes.state_of(first.name) == "drained")
        assert {world.run(run.id).attempt for run in runs} == {1}  # the agents went on meanwhile
        later = world.create("later")
        eventually(lambda: world.run(later.id).finished_at)

        worker_processes.drain([second.name])
        eventually(lambda: worker_processes.state_of(second.name) == "drained")
        waiting = world.create("nobody takes it")
        worker_processes.undrain([first.name])
        eventually(lambda: world.run(waiting.id).finished_at)
        eventually(lambda: held_by() == {first.name})
        stop_all(world.user.tenant_id, world.user.id, "enough", world.container.bell)
        eventually(lambda: all(world.run(run.id).finished_at for run in runs))
    for run in runs:
        assert world.run(run.id).status == "canceled"
        assert check(run.id, world.container.stream) == []


def test_all_open_runs_of_one_tenant_are_asked_to_stop(database: object) -> None:
    people, bell = cast.assemble(), SilentBell()
    ours = [factories.run(people.bob).id, factories.run(people.mallory).id]
    ended, theirs = factories.run(people.bob), factories.run(people.charlie)
    AgentRun.update(status="succeeded", finished_at=db.now()).where(AgentRun.id == ended.id).execute()
    tenant_id = people.bob.user.tenant_id
    first = stop_all(tenant_id, people.otto.user.id, "fire", bell)
    again = stop_all(tenant_id, people.otto.user.id, "fire", bell)
    assert {item["runId"]: item["outcome"] for item in first["items"]} == dict.fromkeys(sorted(ours), "done")
    assert (first["checked"], first["done"], first["skipped"], first["failed"]) == (2, 2, 0, 0)
    assert (again["checked"], again["done"], again["skipped"]) == (2, 0, 2)
    assert sorted(bell.rung) == sorted(f"command:{run_id}" for run_id in ours)
    commands = list(RunCommand.select())
    assert sorted(command.run_id for command in commands) == sorted(ours)
    assert commands[0].payload == {"by": people.otto.user.id, "reason": "fire"}
    assert AgentRun.get_by_id(theirs.id).stop_requested_at is None
    assert all(AgentRun.get_by_id(run_id).stop_requested_at for run_id in ours)
