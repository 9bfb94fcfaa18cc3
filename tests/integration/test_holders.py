"""Names of holders, and the leases of those that are known to be dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, ChatSession
from app.services import holders, worker_rows
from tests.support.waiting import eventually
from tests.support.world import World, open_world

TELL = "from app.services import holders; print(holders.name_of_this_process(), flush=True); input()"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url) as world:
        yield world


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def name_of(worker: subprocess.Popen[bytes]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().decode().strip()


def hold(world: World, owner: str, deaths: int = 0) -> AgentRun:
    run = world.create("hello")
    AgentRun.update(
        status="running", lease_owner=owner, lease_until=db.now() + 30, epoch=1, claimed_at=db.now(), deaths=deaths
    ).where(AgentRun.id == run.id).execute()
    return world.run(run.id)


def test_a_process_is_dead_once_it_was_killed_also_before_its_parent_looks(worker: subprocess.Popen[bytes]) -> None:
    name = name_of(worker)
    assert not holders.is_dead(name)
    os.kill(worker.pid, signal.SIGSTOP)
    assert not holders.is_dead(name)  # it may wake
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: holders.is_dead(name), what="the zombie is known to be dead")
    worker.wait()
    assert holders.is_dead(name)


def test_nobody_judges_processes_of_other_machines_containers_or_names(worker: subprocess.Popen[bytes]) -> None:
    host, pid, started, place, random = name_of(worker).split(":")
    worker.kill()
    worker.wait()
    for other in ("world", f"{host}:{pid}", f"{host}:{pid}:{started}:{place[::-1]}x:{random}", f"{host}:x:y:{place}:z"):
        assert not holders.is_dead(other)
    assert holders.is_dead(f"another-name:{pid}:{started}:{place}:{random}")  # a host may be renamed


def test_the_leases_of_the_dead_end_at_once_and_all_others_stay(world: World, worker: subprocess.Popen[bytes]) -> None:
    name = name_of(worker)
    dead, suspect = hold(world, name), hold(world, name, deaths=1)
    mine, foreign = hold(world, holders.name_of_this_process()), hold(world, "elsewhere:1:2:3:4")
    assert holders.end_leases_of_the_dead() == 0
    worker.kill()
    worker.wait()
    assert holders.end_leases_of_the_dead() == 1
    assert world.run(dead.id).lease_until <= db.now()
    for other in (suspect, mine, foreign):
        assert world.run(other.id).lease_until == other.lease_until
    claim = world.claim()
    assert claim is not None
    assert (claim.run.id, claim.lost_lease) == (dead.id, True)  # it counts, as any lease that ran out


def test_a_sandbox_that_a_dead_process_was_at_work_on_is_free_at_once(
    world: World, worker: subprocess.Popen[bytes]
) -> None:
    name, session_id = name_of(worker), world.create("hello").session_id
    worker_rows.ensure(ChatSession.get_by_id(session_id))
    assert worker_rows.take_lease(session_id, name, 60) is not None
    assert holders.end_leases_of_the_dead() == 0
    worker.kill()
    worker.wait()
    assert holders.end_leases_of_the_dead() == 1
    assert worker_rows.take_lease(session_id, "next", 60) is not None
    assert holders.end_leases_of_the_dead() == 0
