"""A worker that falls asleep between its check and its call to a sandbox wakes up when that is somebody else's (R2): it ends no
sandbox of a later generation and deletes none of its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.models import ChatSession
from app.ports import EVERY_GENERATION
from tests.support.gate_jobs import Act, Job, Place
from tests.support.sandboxes import python, start, wait_for
from tests.support.waiting import eventually
from tests.support.workspace_house import House, bound


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> Iterator[House]:
    with bound(database_url):
        made = House(tmp_path, LocalSandboxes(LocalSandboxSettings(tmp_path / "sandboxes")))
        yield made
        for name in made.sandboxes.list_running():
            made.sandboxes.stop(name, EVERY_GENERATION)


def fall_asleep(house: House, session: ChatSession, job: str, act: Act, database_url: str) -> Job:
    """Begin an operation whose process stops itself right before its call `act`; it sleeps until its lease is over."""
    sleeper = Job(Place(house.var, database_url, sleeps_before=act), job, session.id)
    eventually(lambda: sleeper.sleeps, what=f"the worker sleeps before it calls {act}")
    house.expire_lease(session)
    return sleeper


@pytest.mark.promise("R2")
@pytest.mark.parametrize(("job", "act"), [("stop", "stop"), ("remove", "remove")])
def test_a_worker_that_slept_before_its_call_touches_no_later_sandbox(
    house: House, database_url: str, job: str, act: Act
) -> None:
    session = house.session()
    house.start(session).executor.write_file("kept", b"saved")
    sleeper = fall_asleep(house, session, job, act, database_url)
    executor = house.start(session).executor
    start(executor, python("print('ready')\nfor line in __import__('sys').stdin: print('got', line)"))
    wait_for(executor, b"ready")
    executor.write_file("new", b"unsaved")
    before = executor.health()

    sleeper.wake()
    sleeper.outcome()

    assert executor.health() == before
    executor.write("run_1.1", "in", "k", b"hello", epoch=1)
    wait_for(executor, b"got hello")
    assert executor.read_file("kept", offset=0, limit=9)[0] == b"saved"
    assert executor.read_file("new", offset=0, limit=9)[0] == b"unsaved"
    assert (house.row(session).status, house.row(session).generation) == ("running", 2)
