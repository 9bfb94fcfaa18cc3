"""Runs that wait for people: they hold no worker and, after a while, no sandbox; the answer is never lost (decision 8)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest, RunEvent, SessionWorker
from app.services import human_loop
from app.services.log_check import check
from app.services.run_creation import add_command
from app.services.waiting import Waiting
from tests.support.waiting import eventually
from tests.support.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "waiting_keep_seconds": 0.0}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def waiting_for(world: World) -> Waiting:
    return world.container.waiting


def request_of(run: AgentRun) -> HumanLoopRequest:
    return HumanLoopRequest.get(HumanLoopRequest.run_id == run.id, HumanLoopRequest.status == "open")


def answer(world: World, request: HumanLoopRequest, reply: human_loop.Reply) -> human_loop.ReplyResult:
    return human_loop.reply(request, reply, world.user.id, world.container.bell)


def let_go(world: World, prompt: str) -> AgentRun:
    """Drive a new run until its driver has let go of it."""
    world.create(prompt)
    run = world.drive()
    assert (run.status, run.lease_owner) == (RunStatus.WAITING_HUMAN, None)
    assert run.let_go_at is not None
    assert_at_rest(world, run)
    return run


def assert_at_rest(world: World, run: AgentRun) -> None:
    """While nobody holds the run, nobody could bring back what only Redis had."""
    seqs = [event.seq for event in world.events(run.id)]
    assert RunEvent.select().where(RunEvent.run_id == run.id).count() == len(seqs) == seqs[-1]


def outputs(world: World, run: AgentRun) -> list[tuple[str, str]]:
    results = [event.data for event in world.events(run.id) if event.type == "tool.result"]
    return [(data["status"], data["output"]) for data in results]


def resolutions(world: World, run: AgentRun) -> list[tuple[str, str | None]]:
    found = [event.data for event in world.events(run.id) if event.type == "human_loop.resolved"]
    return [(data["outcome"], data["delivery"]) for data in found]


def test_a_run_that_was_let_go_is_claimed_for_the_answer_alone(world: World) -> None:
    run = let_go(world, "/run echo ran >> ran.txt\n/say end")
    assert world.claim() is None
    assert waiting_for(world).look() == 0
    answer(world, request_of(run), human_loop.Reply(decision="allow"))
    run = world.drive()
    assert (run.status, run.attempt, run.failures, run.message) == ("succeeded", 1, 0, "end")
    assert resolutions(world, run) == [("answered", "live")]
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_a_lease_that_is_renewed_often_keeps_nobody_from_letting_go(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=1.0) as world:  # renewed every third of it
        let_go(world, "/approve the plan")


def test_an_agent_that_moves_by_itself_is_taken_up_again(world: World) -> None:
    run = let_go(world, "/approve go on?")
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    executor.signal(f"{run.id}.1", "TERM", key="test", epoch=run.epoch)
    eventually(lambda: waiting_for(world).look() == 1)
    assert waiting_for(world).look() == 0
    run = world.drive()
    assert run.status == RunStatus.QUEUED  # its agent ended: another attempt


@sqlite_only
def test_a_request_outlives_an_agent_that_was_killed_while_it_waited(world: World) -> None:
    """Whoever kills everything kills some agents a moment before their executors, which still write that down."""
    run = let_go(world, "/run echo ran >> ran.txt; cat ran.txt\n/say end")
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    executor.signal(f"{run.id}.1", "KILL", key="test", epoch=run.epoch)
    eventually(lambda: waiting_for(world).look() == 1)
    assert world.drive().status == RunStatus.WAITING_HUMAN
    assert world.claim() is None
    answer(world, request_of(run), human_loop.Reply(decision="allow"))
    run = world.drive()
    assert (run.status, run.attempt, run.failures) == ("succeeded", 2, 0)
    assert outputs(world, run) == [("ok", "ran\n")]
    assert resolutions(world, run) == [("answered", "resumed")]


def stopped(world: World, prompt: str) -> AgentRun:
    """Have the sandbox of a waiting run saved and stopped."""
    run = let_go(world, prompt)
    assert waiting_for(world).stop_long(db.now() + 1) == 1
    assert world.container.sandboxes.connect(run.session_id) is None
    worker = SessionWorker.get_by_id(run.session_id)
    assert (worker.status, worker.receipt["generation"]) == ("stopped", worker.generation)
    assert world.claim() is None
    return world.run(run.id)


def test_an_approval_reaches_an_agent_that_was_stopped_and_lets_one_call_through(world: World) -> None:
    run = stopped(world, "/run echo ran >> ran.txt; cat ran.txt\n/run echo ran >> ran.txt; cat ran.txt\n/say end")
    result = answer(world, request_of(run), human_loop.Reply(decision="allow"))
    assert not result.duplicate
    run = world.drive()
    # The grant let the first identical call through, once; the second one is a new question.
    assert (run.status, run.attempt, run.failures) == (RunStatus.WAITING_HUMAN, 2, 0)
    assert outputs(world, run) == [("ok", "ran\n")]
    assert resolutions(world, run)[0] == ("answered", "resumed")
    answer(world, request_of(run), human_loop.Reply(decision="allow"))
    run = world.drive()
    assert (run.status, run.message) == ("succeeded", "end")
    assert outputs(world, run) == [("ok", "ran\n"), ("ok", "ran\nran\n")]
    modes = [event.data["mode"] for event in world.events(run.id) if event.type == "context.restored"]
    assert modes == ["fresh", "native_resume"]
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_what_was_allowed_for_the_rest_of_the_run_is_not_asked_again_by_a_later_attempt(world: World) -> None:
    run = stopped(world, "/run echo 1\n/run echo 2\n/ask Go on? | Yes | No\n/run echo 3")
    answer(world, request_of(run), human_loop.Reply(decision="allow_always"))
    run = world.drive()
    assert [status for status, _ in outputs(world, run)] == ["ok", "ok"]  # the second was not asked
    assert waiting_for(world).stop_long(db.now() + 1) == 1
    answer(world, request_of(run), human_loop.Reply(answers={"q1": ["Yes"]}))
    run = world.drive()
    assert (run.status, run.attempt) == ("succeeded", 3)
    assert [status for status, _ in outputs(world, run)] == ["ok", "ok", "ok"]
    assert HumanLoopRequest.select().where(HumanLoopRequest.run_id == run.id).count() == 2


@sqlite_only
def test_a_denial_reaches_an_agent_that_was_stopped(world: World) -> None:
    run = stopped(world, "/run echo ran > ran.txt\n/say went on")
    answer(world, request_of(run), human_loop.Reply(decision="deny", message="no"))
    run = world.drive()
    assert (run.status, run.message) == ("succeeded", "went on")
    assert outputs(world, run) == [("denied", "no")]


@sqlite_only
def test_a_stopped_agent_that_asks_again_for_what_was_denied_is_told_so_and_nobody_is_asked_twice(world: World) -> None:
    run = stopped(world, "/run echo ran\n/run echo ran\n/run echo ran")
    answer(world, request_of(run), human_loop.Reply(decision="deny", message="no"))
    run = world.drive()
    assert outputs(world, run) == [("denied", "no"), ("denied", "no")]
    assert request_of(run).tool_call["input"] == {"command": "echo ran"}  # the one after that is new
    assert HumanLoopRequest.select().where(HumanLoopRequest.run_id == run.id).count() == 2


@sqlite_only
def test_a_question_is_answered_to_an_agent_that_was_stopped(world: World) -> None:
    run = stopped(world, "/ask Which colour? | Red | Blue")
    answer(world, request_of(run), human_loop.Reply(answers={"q1": ["Blue"]}))
    run = world.drive()
    assert (run.status, run.message) == ("succeeded", "You answered: Blue")


@sqlite_only
def test_a_stopped_agent_that_asks_its_question_again_has_the_answer_and_nobody_is_asked_twice(world: World) -> None:
    asked = "/ask Which colour? | Red | Blue"
    run = stopped(world, f"{asked}\n/ask Which colour? | Red | Green\n{asked}\n{asked}")
    answer(world, request_of(run), human_loop.Reply(answers={"q1": ["Blue"]}))
    run = world.drive()
    assert [option["label"] for option in request_of(run).questions[0]["options"]] == ["Red", "Green"]  # is another one
    answer(world, request_of(run), human_loop.Reply(answers={"q1": ["Green"]}))
    run = world.drive()
    assert run.status == RunStatus.WAITING_HUMAN  # the one after that is new
    assert HumanLoopRequest.select().where(HumanLoopRequest.run_id == run.id).count() == 3
    answer(world, request_of(run), human_loop.Reply(answers={"q1": ["Red"]}))
    run = world.drive()
    said = [event.data["text"] for event in world.events(run.id) if event.type == "message.stop"]
    assert (run.status, [text for text in said if "answered" in text]) == (
        "succeeded",
        [f"You answered: {colour}" for colour in ("Blue", "Green", "Blue", "Red")],
    )
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_a_stop_ends_a_run_whose_sandbox_was_stopped_without_starting_it(world: World) -> None:
    run = stopped(world, "/approve go on?")
    with db.transaction():
        add_command(run.tenant_id, run.id, "stop", "stop", {"by": world.user.id})
    run = world.drive()
    assert run.status == "canceled"
    assert world.container.sandboxes.connect(run.session_id) is None
    assert HumanLoopRequest.select().where(HumanLoopRequest.closed_at.is_null()).count() == 0


@sqlite_only
def test_a_request_outlives_the_executor_it_came_from(world: World) -> None:
    run = let_go(world, "/run echo ran >> ran.txt; cat ran.txt\n/say end")
    path = world.settings.root / "sandboxes" / run.session_id / "sandbox.json"
    os.kill(json.loads(path.read_text(encoding="utf-8"))["executor_pid"], signal.SIGKILL)
    eventually(lambda: waiting_for(world).look() == 1)
    run = world.drive()
    assert (run.status, run.attempt) == (RunStatus.WAITING_HUMAN, 1)
    assert run.sandbox_stopped_at is not None
    assert world.claim() is None
    assert "run.warning" in world.types(run.id)
    assert_at_rest(world, run)
    answer(world, request_of(run), human_loop.Reply(decision="allow"))
    run = world.drive()
    assert (run.status, run.attempt, run.failures) == ("succeeded", 2, 0)
    assert outputs(world, run) == [("ok", "ran\n")]


@sqlite_only
def test_the_oldest_sandboxes_above_the_limit_are_stopped(world: World) -> None:
    runs = [let_go(world, "/approve go on?") for _ in range(3)]
    few = world.settings.model_copy(update={"waiting_keep_seconds": 900.0, "waiting_max": 1})
    assert Waiting(few, world.container.session_workers, world.container.bell).stop_long(db.now()) == 2
    kept = [world.run(run.id).sandbox_stopped_at is None for run in runs]
    assert kept == [False, False, True]
