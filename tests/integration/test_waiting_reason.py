"""Every run that is not running says what it waits for, truly, and one that has ended says nothing."""

from __future__ import annotations

import peewee
import pytest

from app import db
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest, WorkerProcess
from app.services import run_claims, runs, worker_processes
from app.services.waiting_reason import waiting_for
from tests import cast, factories
from tests.cast import Cast


@pytest.fixture
def people(database: peewee.Database) -> Cast:
    made = cast.assemble()
    worker_processes.register("host:1", "runs")
    return made


def told(run: AgentRun, shortage: str | None = None) -> tuple[str, int | None]:
    found = waiting_for(AgentRun.get_by_id(run.id), shortage)
    assert found is not None
    assert 0 < found["since"] <= db.now()
    return found["reason"], found.get("position")


def change(run: AgentRun, **fields: object) -> AgentRun:
    AgentRun.update(fields).where(AgentRun.id == run.id).execute()
    return AgentRun.get_by_id(run.id)


def test_queued_runs_know_their_place(people: Cast) -> None:
    session = factories.session(people.bob)
    first, second = factories.run(people.bob, session), factories.run(people.bob, session)
    third = factories.run(people.mallory)
    urgent = factories.run(people.mallory, priority=5)
    factories.run(people.charlie, priority=9)  # of another tenant
    assert told(first) == ("worker", 1)
    assert told(second) == ("session_busy", 1)
    assert told(third) == ("worker", 2)
    assert told(urgent) == ("worker", 0)


def test_without_a_worker_a_queued_run_says_so(people: Cast) -> None:
    run = factories.run(people.bob)
    worker_processes.drain(["host:1"])
    assert told(run) == ("no_worker", 0)
    worker_processes.undrain(["host:1"])
    assert told(run) == ("worker", 0)
    WorkerProcess.update(seen_at=db.now() - 60).execute()
    assert told(run) == ("no_worker", 0)


def test_a_run_that_is_tried_again_waits_for_its_time_and_then_for_a_worker(people: Cast) -> None:
    run = factories.run(people.bob)
    change(run, retry_at=db.now() + 60)
    assert told(run) == ("retry", None)
    change(run, retry_at=db.now() - 1)
    assert told(run) == ("worker", 0)
    assert told(run, "disk_full") == ("disk_full", None)


def test_a_claimed_run_waits_for_its_sandbox_or_for_the_next_worker(people: Cast) -> None:
    run = factories.run(people.bob)
    assert run_claims.take_next("w", 30) is not None
    assert told(run) == ("sandbox", None)
    runs.hand_back(run.id, 1)
    assert told(run) == ("worker", 0)
    assert told(run, "redis_full") == ("redis_full", None)
    change(run, lease_until=db.now() - 1)
    assert told(run) == ("worker", 0)


def test_a_waiting_run_waits_for_a_person_and_then_for_the_delivery(people: Cast) -> None:
    run = factories.run(people.bob)
    change(run, status=RunStatus.WAITING_HUMAN, waiting_since=db.now() - 1)
    assert told(run) == ("human", None)
    request = factories.approval(run)
    assert told(run) == ("human", None)
    HumanLoopRequest.update(status="answered", answered_at=db.now()).where(HumanLoopRequest.id == request.id).execute()
    assert told(run) == ("delivery", None)


def test_a_run_that_runs_or_has_ended_waits_for_nothing(people: Cast) -> None:
    run = factories.run(people.bob)
    assert waiting_for(change(run, status=RunStatus.RUNNING)) is None
    for status in ("succeeded", "failed", "canceled", "blocked"):
        assert waiting_for(change(run, status=status, finished_at=db.now())) is None
