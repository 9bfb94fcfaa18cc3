"""Telling an agent something while it works: once, at its place in the log, and never lost in silence (SPEC §4)."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app import db
from app.domain.capabilities import Capabilities
from app.errors import Conflict
from app.models import AgentRun, HumanLoopRequest, RunCommand
from app.providers.scripted import ScriptedTurn
from app.services import human_loop, run_ending, runs, steering
from app.services.log_check import check
from app.services.run_creation import add_command
from tests.support import web as web_support
from tests.support.journals import logged, starts_of, stepped_once
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually
from tests.support.web import Web
from tests.support.world import World, driven, open_world
from web import create_app

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MARK = {"Authorization": "Bearer pdk_world"}
SLOW = "/slow 40 50"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, model: ModelServer) -> Iterator[World]:
    settings: dict[str, Any] = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "waiting_keep_seconds": 0.0}
    settings |= {"anthropic_base_url": model.url, "anthropic_api_key": "sk-scripted"}
    settings |= {"openai_base_url": f"{model.url}/v1", "openai_api_key": "sk-scripted"}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


@pytest.fixture
def web(world: World) -> Web:
    return Web(create_app(world.container), world.container, web_support.SilentBell())


def speaking(world: World, prompt: str = SLOW, **more: Any) -> AgentRun:
    """Return a run whose agent has begun to speak."""
    run = world.create(prompt, options={"approval": "all"}, **more)
    eventually(lambda: "message.delta" in world.types(run.id), 60, what="the agent speaks")
    return world.run(run.id)


def ended(world: World, run: AgentRun) -> AgentRun:
    eventually(lambda: world.run(run.id).finished_at is not None, what="the end of the run")
    return world.run(run.id)


def steer(web: Web, run: AgentRun, text: str, timeout_ms: int = 10_000, key: str = "") -> TestResponse:
    headers = {**MARK, **({"Idempotency-Key": key} if key else {})}
    return web.post(f"/api/runs/{run.id}/input", headers, json={"text": text, "timeoutMs": timeout_ms})


def order(world: World, run: AgentRun, text: str) -> str:
    return steering.steer(run, steering.Steer(text, world.user.id), world.container.providers, world.container.bell)


def messages(world: World, run: AgentRun) -> list[tuple[str, str]]:
    said = [event.data for event in world.events(run.id) if event.type == "message.stop"]
    return [(data.get("role", "assistant"), data["text"]) for data in said]


def assert_sound(world: World, run: AgentRun) -> None:
    assert check(run.id, world.container.stream) == []
    assert logged(run) == stepped_once(world.container, run)


def test_a_working_agent_is_told_once_at_its_place_in_the_log(world: World, web: Web) -> None:
    with driven(world):
        run = speaking(world)
        key = uuid.uuid4().hex
        answer = steer(web, run, "/say told", key=key)
        again = steer(web, run, "/say told", key=key)
        run = ended(world, run)
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["outcome"] == "taken"
    assert (again.status_code, again.json, again.headers["Idempotent-Replay"]) == (200, answer.json, "true")
    (event,) = [event for event in world.events(run.id) if event.data.get("role") == "user"]
    assert event.seq == answer.json["seq"]
    assert event.data["commandId"] == answer.json["commandId"]
    assert event.data["by"] == world.user.id
    (told,) = [text for _, text in messages(world, run) if text == "told"]
    assert messages(world, run)[0] == ("user", "/say told")  # the agent was speaking still
    assert (run.status, run.message) == ("succeeded", told)
    assert starts_of(world.container, run) == 1
    assert_sound(world, run)


@pytest.mark.real_agent
@pytest.mark.parametrize("provider", ["claude-code", "codex-cli", "opencode", "acp"])
@sqlite_only
def test_every_real_agent_is_told_over_http(world: World, web: Web, model: ModelServer, provider: str) -> None:
    chosen = {"model": "a-model"} if provider == "opencode" else {}
    with driven(world):
        run = speaking(world, "[[gate:told]][[bash:touch x]][[text:end]]", provider=provider, **chosen)
        answer = steer(web, run, "paint it blue. Continue.", timeout_ms=60_000 if provider == "opencode" else 2000)
        model.open("told")
        run = ended(world, run)
    assert run.status == "succeeded", (run.failure_code, run.failure_message)
    assert answer.status_code in (200, 202), answer.json  # some answer only between two pieces of text
    assert ("user", "paint it blue. Continue.") in messages(world, run)
    assert "paint it blue" in str(model.calls[-1].body)
    assert [command.outcome for command in RunCommand.select().where(RunCommand.run_id == run.id)] == ["taken"]
    assert starts_of(world.container, run) == 1
    assert_sound(world, run)


def test_an_agent_that_waits_for_a_person_is_told_too(world: World, web: Web) -> None:
    run = world.create("/approve go on?\n/say end")
    world.drive()
    assert world.run(run.id).let_go_at is not None
    with driven(world):
        assert steer(web, run, "/say told").status_code == 200
        eventually(lambda: world.run(run.id).let_go_at is not None, what="its holder lets go again")
        assert HumanLoopRequest.get(HumanLoopRequest.run_id == run.id).status == "open"
        world.answer(lambda _: human_loop.Reply(decision="allow"))
        run = ended(world, run)
    assert [text for _, text in messages(world, run)] == ["/say told", "end", "told"]
    assert_sound(world, run)


@sqlite_only
def test_without_its_agent_a_waiting_run_is_not_told_and_says_so(world: World, web: Web) -> None:
    run = world.create("/approve go on?")
    world.drive()
    assert world.container.waiting.stop_long(db.now() + 60) == 1
    refused = steer(web, run, "hello")
    assert (refused.status_code, refused.json and refused.json["code"]) == (409, "not_steerable")


def test_what_came_in_between_is_told_to_the_agent_that_comes_back(world: World) -> None:
    """Accepted while the agent lived, and its sandbox was stopped before anybody told it."""
    run = world.create("/approve go on?\n/slow 20 50")
    world.drive()
    command = order(world, run, "/say told")
    assert world.container.waiting.stop_long(db.now() + 60) == 1
    assert world.claim() is None  # a message alone starts nothing
    world.answer(lambda _: human_loop.Reply(decision="allow"))
    with driven(world), world.answering():
        run = ended(world, run)
    assert RunCommand.get_by_id(command).outcome == "taken"
    assert messages(world, run)[-1] == ("assistant", "told")


@sqlite_only
def test_where_nobody_works_the_answer_says_what_to_do(world: World, web: Web) -> None:
    queued = world.create("/say hi")
    with driven(world):
        done = ended(world, queued)
        stopped = speaking(world, "/deaf\n/slow 400 50")
        add_command(world.user.tenant_id, stopped.id, "stop", "stop", {"by": None, "reason": "enough"})
        asked = [steer(web, run, "hello", timeout_ms=0) for run in (done, stopped)]
        world.container.bell.ring_command(stopped.id)
        ended(world, stopped)
    fresh = steer(web, world.create("/say hi"), "hello")
    for answer in (*asked, fresh):
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (409, "not_steerable")
        assert "as a message" in answer.json["remedy"]
    blank = steer(web, done, "  ")
    assert (blank.status_code, blank.json and blank.json["code"]) == (422, "prompt_empty")
    assert not RunCommand.select().where(RunCommand.kind == "steer").exists()


@sqlite_only
def test_a_provider_that_cannot_be_told_says_so(world: World, web: Web) -> None:
    provider: Any = world.container.providers.get("scripted")
    provider.capabilities = Capabilities(stream=True, stop=True)
    with driven(world):
        run = speaking(world)
        refused = steer(web, run, "hello")
        ended(world, run)
    assert (refused.status_code, refused.json and refused.json["code"]) == (409, "not_steerable")


def test_what_comes_at_the_very_end_is_told_in_the_log(world: World, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    orders: list[Callable[[], str]] = []
    usual = run_ending._mismatch_drafts

    def meanwhile(*given: Any) -> Any:
        if orders:
            said.append(orders.pop()())
        return usual(*given)

    monkeypatch.setattr(run_ending, "_mismatch_drafts", meanwhile)  # after the open commands were read
    run = world.create("/say hi")
    orders.append(lambda: order(world, world.run(run.id), "too late"))
    run = world.drive()
    warnings = [event.data for event in world.events(run.id) if event.type == "run.warning"]
    assert [(data["code"], data["commandId"]) for data in warnings] == [("not_steered", said[0])]
    assert (RunCommand.get_by_id(said[0]).outcome, run.status) == ("late", "succeeded")
    with pytest.raises(Conflict):
        order(world, run, "later still")
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_who_waits_for_a_message_that_comes_too_late_gets_a_refusal(
    world: World, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedTurn, "_steer", lambda *_: None)  # the agent never hears it
    with driven(world):
        run = speaking(world)
        key = uuid.uuid4().hex
        answers = [steer(web, run, "hello", key=key) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.json and answer.json["code"]) == (409, "not_steerable")
    assert RunCommand.select().where(RunCommand.kind == "steer").count() == 1


def test_what_an_attempt_took_the_next_one_knows_too(world: World) -> None:
    """Its conversation is gone, so the prompt is sent again, and with it what was said meanwhile."""
    provider: Any = world.container.providers.get("scripted")
    provider.capabilities = replace(provider.capabilities, resume=False)
    with driven(world):
        run = speaking(world, "/slow 20 50\n/crash 1")
        order(world, run, "/say told")
        run = ended(world, run)
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert [text for role, text in messages(world, run) if role == "assistant"][-1] == "told"
    assert [role for role, _ in messages(world, run)].count("user") == 1
    assert_sound(world, run)


@sqlite_only
def test_what_an_attempt_never_answered_for_the_next_one_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = ScriptedTurn._steer

    def unheard(turn: ScriptedTurn, name: str, text: str) -> None:
        if turn._launch.attempt > 1:
            usual(turn, name, text)

    monkeypatch.setattr(ScriptedTurn, "_steer", unheard)
    with driven(world):
        run = speaking(world, "/slow 20 50\n/crash 1\n/slow 20 50")
        command = order(world, run, "/say told")
        run = ended(world, run)
    assert (run.status, run.attempt, RunCommand.get_by_id(command).outcome) == ("succeeded", 2, "taken")
    assert messages(world, run)[-1] == ("assistant", "told")
    assert [role for role, _ in messages(world, run)].count("user") == 1
    assert_sound(world, run)


@sqlite_only
def test_a_message_waits_for_the_next_attempt_and_claims_nothing(world: World) -> None:
    run = world.create("/slow 20 50")
    claim = world.claim()
    assert claim is not None
    AgentRun.update(status="running", attempt=1).where(AgentRun.id == run.id).execute()
    order(world, world.run(run.id), "hello")
    runs.to_queued(run.id, claim.run.epoch, retry_at=db.now() + 600, counters={})
    assert world.claim() is None
