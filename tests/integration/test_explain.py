"""Why a run is where it is: what its row, its log, its commands and its executor say, and the words made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest, RunCommand
from app.ports import EVERY_GENERATION
from app.services import human_loop, run_claims, runs
from app.services.run_creation import add_arrival, add_command
from app.services.run_explanation import MOST, Explanation, explain
from tests.support.waiting import eventually
from tests.support.world import World, open_world
from web.schemas.explanations import explanation_view

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(
        tmp_path / "var", database_url, redis_url, retry_delay_ms=1.0, stop_grace_seconds=0.3, waiting_keep_seconds=0.0
    ) as world:
        yield world


def explained(world: World, run: AgentRun) -> Explanation:
    found = explain(world.run(run.id), world.container.session_workers)
    explanation_view(found, {}).to_json()  # whatever it is, it can be told
    return found


def test_a_run_that_ended_well_tells_its_attempt_its_agent_and_its_input(world: World) -> None:
    run = world.create("hello")
    assert world.drive().status == RunStatus.SUCCEEDED
    found = explained(world, run)
    assert found.reason.summary == "It succeeded: end_turn."
    assert [(each.attempt, each.context, each.status) for each in found.attempts] == [(1, "fresh", "succeeded")]
    assert (found.journal.state, found.journal.exit) == ("ended", "signal:15")
    assert found.journal.last >= found.journal.in_log > 1  # type: ignore[operator]
    assert found.last_input is not None
    assert (found.last_input.kind, found.last_input.text) == ("message", "hello")


@sqlite_only
def test_a_queued_run_says_that_a_worker_takes_it_and_later_that_none_does(world: World) -> None:
    run = world.create("hello")
    assert explained(world, run).reason.advice == "Nothing has to be done."
    AgentRun.update(created_at=db.now() - 60).where(AgentRun.id == run.id).execute()
    assert "make status" in explained(world, run).reason.advice
    assert explained(world, run).journal.state == "not_started"


@sqlite_only
def test_a_run_behind_others_of_its_session_names_the_first_of_them(world: World) -> None:
    first = world.create("hello")
    second, third = (world.create("again", session=first.session_id) for _ in range(2))
    assert first.id in explained(world, second).reason.summary
    assert "2 earlier runs" in explained(world, third).reason.summary
    assert first.id in explained(world, third).reason.advice


@sqlite_only
def test_a_run_that_waits_for_a_person_says_whom_to_answer_how_and_what_became_of_its_sandbox(world: World) -> None:
    run = world.create("/approve Press the button")
    world.drive()
    request = HumanLoopRequest.get(HumanLoopRequest.run_id == run.id)
    found = explained(world, run)
    assert "Press the button" in found.reason.summary
    assert "No worker is held" in found.reason.summary
    assert found.reason.advice == f"paddock reply {request.id} allow"
    assert (found.journal.state, [each.id for each in found.requests]) == ("running", [request.id])

    world.container.waiting.stop_long(db.now() + 10)
    found = explained(world, run)
    assert "with its sandbox stopped or lost" in found.reason.summary
    assert found.journal.state == "no_sandbox"

    human_loop.reply(request, human_loop.Reply(decision="allow", message="go on"), world.user.id, world.container.bell)
    found = explained(world, run)
    assert "answered" in found.reason.summary
    assert [(each.kind, each.applied_seq) for each in found.commands] == [("answer", None)]

    assert world.drive().status == RunStatus.SUCCEEDED
    found = explained(world, run)
    assert [(each.attempt, each.context) for each in found.attempts] == [(1, "fresh"), (2, "native_resume")]
    assert found.commands[0].applied_seq is not None
    assert found.last_input is not None
    assert found.last_input.kind in ("answer", "message")


@sqlite_only
def test_each_failed_attempt_says_why_and_the_end_says_what_to_do(world: World) -> None:
    run = world.create("/fail transport_error")
    for _ in range(3):
        eventually(lambda: run_claims.count(1), what="the retry to be due")
        world.drive()
    found = explained(world, run)
    assert [(each.attempt, each.code, each.status) for each in found.attempts] == [
        (1, "transport_error", "queued"),
        (2, "transport_error", "queued"),
        (3, "transport_error", "failed"),
    ]
    assert found.run.failures == 3
    assert "transport_error" in found.reason.summary
    assert found.reason.advice == found.run.remedy


@sqlite_only
def test_a_run_between_two_attempts_says_when_it_is_tried_again(world: World) -> None:
    run = world.create("/fail transport_error")
    world.drive()
    AgentRun.update(retry_at=db.now() + 60).where(AgentRun.id == run.id).execute()
    assert "tried again at" in explained(world, run).reason.summary


@sqlite_only
def test_a_lease_that_ran_out_and_one_that_was_handed_back_are_told_apart(world: World) -> None:
    run = world.create("hello")
    claim = world.claim(30)
    assert claim is not None
    assert "being made ready" in explained(world, run).reason.summary
    world.expire_lease(run.id)
    assert "last heard of" in explained(world, run).reason.summary
    runs.hand_back(run.id, claim.run.epoch)
    assert "handed it back" in explained(world, run).reason.summary


def test_thousands_of_callbacks_are_one_line_and_hide_no_wish(world: World) -> None:
    run = world.create("hello")
    assert explained(world, run).callbacks is None
    with db.transaction():
        add_command(run.tenant_id, run.id, "answer", "answer:1", {})
        for number in range(2 * MOST):
            add_arrival(run, f"evt_{number}", {"type": "message.delta"}, number + 1)
    runs.mark_applied([command.id for command in runs.list_unapplied(run.id) if command.kind == "external"][3:], 1)
    found = explained(world, run)
    assert [each.kind for each in found.commands] == ["answer"]
    assert found.callbacks is not None
    assert (found.callbacks.count, found.callbacks.waiting) == (2 * MOST, 3)
    assert found.callbacks.first_at <= found.callbacks.last_at
    shown = explanation_view(found, {}).callbacks
    assert shown is not None
    assert (shown.count, shown.waiting) == (2 * MOST, 3)
    assert shown.first_at.endswith("Z")


@sqlite_only
def test_a_run_that_is_to_stop_says_so(world: World) -> None:
    run = world.create("hello")
    with db.transaction():
        add_command(run.tenant_id, run.id, "stop", "stop", {"by": world.user.id, "reason": "test"})
    found = explained(world, run)
    assert "asked to stop" in found.reason.summary
    assert [each.kind for each in found.commands] == ["stop"]
    world.drive()
    assert RunCommand.get().applied_seq is not None
    assert explained(world, run).reason.summary.startswith("It was canceled")


@sqlite_only
def test_an_executor_that_does_not_answer_is_a_fact_and_no_error(world: World) -> None:
    run = world.create("hello")
    world.drive()
    world.container.sandboxes.stop(run.session_id, EVERY_GENERATION)
    assert explained(world, run).journal.state in ("no_sandbox", "unreachable")
