"""Deadlines of what agents ask: shown, kept open, and denied where a policy says so, once, whoever else answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db, ids
from app.domain.policy import Policy
from app.errors import Conflict
from app.models import AgentRun, HumanLoopRequest, RunCommand, SessionWorker
from app.services import human_loop, policy
from app.services.log_check import check
from app.services.policy import Place
from app.services.waiting_reason import waiting_for
from tests.support.waiting import eventually
from tests.support.world import World, open_world

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DENYING = Policy(60.0, "deny")


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "waiting_keep_seconds": 0.0}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


def lay_down(world: World, rules: Policy, session_id: str | None = None) -> None:
    policy.lay_down(Place(world.user.tenant_id, session_id), rules, world.user.id)


def asked(world: World, prompt: str) -> tuple[AgentRun, HumanLoopRequest]:
    """Drive a new run until it was let go with its first request open."""
    world.create(prompt)
    run = world.drive()
    assert run.let_go_at is not None
    return run, HumanLoopRequest.get(HumanLoopRequest.run_id == run.id, HumanLoopRequest.status == "open")


def pass_deadline(request: HumanLoopRequest) -> None:
    HumanLoopRequest.update(deadline_at=db.now() - 1).where(HumanLoopRequest.id == request.id).execute()


def expire(world: World) -> int:
    return human_loop.expire_overdue(world.container.bell)


def resolutions(world: World, run: AgentRun) -> list[tuple[str, str | None]]:
    found = [event.data for event in world.events(run.id) if event.type == "human_loop.resolved"]
    return [(data["outcome"], data["delivery"]) for data in found]


def outputs(world: World, run: AgentRun) -> list[tuple[str, str]]:
    return [(e.data["status"], e.data["output"]) for e in world.events(run.id) if e.type == "tool.result"]


@sqlite_only
def test_a_request_tells_its_deadline_in_the_log_and_in_its_row(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/approve go on?")
    event = next(event for event in world.events(run.id) if event.type == "human_loop.requested")
    assert ids.posix_of(event.data["deadlineAt"]) == pytest.approx(event.ts + 60, abs=0.002)
    assert (request.deadline_at, request.on_deadline) == (ids.posix_of(event.data["deadlineAt"]), "deny")
    assert "timeoutSeconds" not in event.data


@sqlite_only
def test_what_the_agent_itself_gives_is_a_deadline_too_and_nothing_else(world: World) -> None:
    run, request = asked(world, "/timeout 5\n/ask Which? | A | B")
    assert request.deadline_at == pytest.approx(request.created_at + 5, abs=0.01)
    pass_deadline(request)
    assert expire(world) == 0  # a hint: without a policy nothing is closed
    assert HumanLoopRequest.get_by_id(request.id).status == "open"
    assert world.claim() is None
    answer = human_loop.Reply(answers={"q1": ["B"]})
    assert human_loop.reply(request, answer, world.user.id, world.container.bell).outcome == "answered"
    assert world.drive().status == "succeeded"
    assert run.id


@sqlite_only
def test_a_sessions_policy_is_read_within_its_tenants(world: World) -> None:
    first, _ = asked(world, "/approve one")
    lay_down(world, DENYING)
    lay_down(world, Policy(5.0), first.session_id)
    assert policy.effective(Place(world.user.tenant_id, first.session_id)) == Policy(5.0, "deny")
    assert policy.effective(Place(world.user.tenant_id, "ses_other")) == DENYING
    assert policy.effective(Place("tnt_other", "ses_other")) == Policy()
    lay_down(world, Policy(), first.session_id)
    assert policy.effective(Place(world.user.tenant_id, first.session_id)) == DENYING
    assert HumanLoopRequest.get(HumanLoopRequest.run_id == first.id).deadline_at is None  # it keeps what it began with


def test_past_its_deadline_a_waiting_agent_is_told_no(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/run echo ran > ran.txt\n/say went on")
    assert expire(world) == 0
    pass_deadline(request)
    assert [expire(world), expire(world)] == [1, 0]
    command = RunCommand.get(RunCommand.run_id == run.id)
    assert (command.kind, command.command_key) == ("expire", f"expire:{request.id}")
    run = world.drive()
    assert (run.status, run.attempt, run.message) == ("succeeded", 1, "went on")
    assert outputs(world, run) == [("denied", "Nobody answered in time.")]
    assert resolutions(world, run) == [("expired", "live")]
    assert RunCommand.get_by_id(command.id).applied_seq is not None
    assert check(run.id, world.container.stream) == []


def test_past_its_deadline_an_agent_that_was_stopped_is_told_no(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/run echo ran > ran.txt\n/say went on")
    assert world.container.waiting.stop_long(db.now() + 1) == 1
    assert SessionWorker.get_by_id(run.session_id).status == "stopped"
    pass_deadline(request)
    assert expire(world) == 1
    run = world.drive()
    assert (run.status, run.attempt, run.failures, run.message) == ("succeeded", 2, 0, "went on")
    assert outputs(world, run) == [("denied", human_loop.EXPIRED_REPLY["message"])]
    assert resolutions(world, run) == [("expired", "resumed")]
    assert HumanLoopRequest.get_by_id(request.id).status == "expired"
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_a_reply_after_the_denial_is_told_why(world: World) -> None:
    lay_down(world, DENYING)
    _, request = asked(world, "/approve go on?")
    pass_deadline(request)
    expire(world)
    with pytest.raises(Conflict, match=r"deadline.*passed") as refused:
        human_loop.reply(request, human_loop.Reply(decision="allow"), world.user.id, world.container.bell)
    assert refused.value.code == "request_closed"


def test_of_a_reply_and_the_deadline_at_one_moment_one_holds(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/approve 1 one")
    pass_deadline(request)
    barrier = threading.Barrier(6)
    outcomes: list[str] = []

    def person() -> None:
        with db.connection():
            barrier.wait()
            try:
                reply = human_loop.Reply(decision="allow")
                outcomes.append(human_loop.reply(request, reply, world.user.id, world.container.bell).outcome)
            except Conflict as refused:
                outcomes.append(refused.code)

    def scheduler() -> None:
        with db.connection():
            barrier.wait()
            expire(world)

    threads = [threading.Thread(target=work) for work in (person, scheduler) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status = HumanLoopRequest.get_by_id(request.id).status
    assert set(outcomes) == {"answered"} if status == "answered" else set(outcomes) == {"request_closed"}
    assert RunCommand.select().where(RunCommand.run_id == run.id).count() == 1
    run = world.drive()
    assert [outcome for outcome, _ in resolutions(world, run)] == [status]


@sqlite_only
def test_a_run_that_is_stopped_after_the_denial_closes_it_as_expired(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/approve go on?")
    assert world.container.waiting.stop_long(db.now() + 1) == 1
    pass_deadline(request)
    expire(world)
    with db.transaction():
        human_loop.add_command(run.tenant_id, run.id, "stop", "stop", {"by": None, "reason": "test"})
    run = world.drive()
    assert run.status == "canceled"
    assert resolutions(world, run) == [("expired", None)]


@sqlite_only
def test_a_waiting_run_says_what_it_waits_for_until_its_agent_knows(world: World) -> None:
    lay_down(world, DENYING)
    run, request = asked(world, "/approve go on?")
    assert (waiting_for(run) or {})["reason"] == "human"
    pass_deadline(request)
    expire(world)
    eventually(lambda: (waiting_for(world.run(run.id)) or {})["reason"] == "delivery")
