"""An agent that hangs is ended and tried again; one whose command is silent, whose model thinks, or that asks a person is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.domain.journal import agent_id
from app.models import AgentRun, ModelCall
from app.services.log_check import check
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually
from tests.support.world import World, open_world

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LIMIT = 1.0


@pytest.fixture
def limit() -> float:
    return LIMIT


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, model: ModelServer, limit: float) -> Iterator[World]:
    settings: dict[str, Any] = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "silence_seconds": limit}
    settings |= {"anthropic_base_url": model.url, "anthropic_api_key": "sk-scripted", "max_attempts": 2}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


def open_call(run: AgentRun) -> ModelCall:
    """A call of a model as the proxy writes it while the model thinks."""
    now = db.now()
    return ModelCall.create(
        id=f"mcl_{run.id}", tenant_id=run.tenant_id, run_id=run.id, attempt=1, protocol="messages", model="m", holder="h",
        started_at=now,
    )  # fmt: skip


def test_an_agent_that_hangs_is_ended_and_tried_again(world: World) -> None:
    run = world.create("/say begun\n/sleep 600")
    again = world.drive()
    assert (again.status, again.attempt, again.failures) == ("queued", 1, 1)
    eventually(lambda: db.now() > (again.retry_at or 0), what="the time of the next attempt")
    run = world.drive()
    assert (run.status, run.failure_code, run.attempt) == ("failed", "provider_no_output", 2)
    assert run.retryable
    assert "PADDOCK_SILENCE_SECONDS" in str(run.remedy)
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    for attempt in (1, 2):
        state = executor.find_agent(agent_id(run.id, attempt))
        assert state is not None
        assert not state.running
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_a_command_that_is_silent_for_longer_is_left_alone(world: World) -> None:
    world.create(f"/run sleep {LIMIT * 3}\n/say done", options={"approval": "all"})
    run = world.drive()
    assert (run.status, run.attempt, run.message) == ("succeeded", 1, "done")


def test_a_model_that_thinks_for_longer_is_left_alone(world: World) -> None:
    """As long as its call is open; after its end the agent has the time once more."""
    run = world.create(f"/sleep {LIMIT * 2.4}\n/say done")
    claim = world.claim()
    assert claim is not None
    call = open_call(run)
    worker = threading.Thread(target=_drive, args=(world, claim))
    worker.start()
    eventually(lambda: world.run(run.id).status == "running", what="the agent works")
    began = world.run(run.id).started_at or 0
    eventually(lambda: db.now() > began + LIMIT * 2, what="twice the limit")
    ModelCall.update(state="ended", ended_at=db.now()).where(ModelCall.id == call.id).execute()
    worker.join(30)
    ended = world.run(run.id)
    assert (ended.status, ended.attempt, ended.message) == ("succeeded", 1, "done")


@sqlite_only
def test_who_waits_for_a_person_is_left_alone(world: World) -> None:
    run = world.create("/approve go on?")
    world.drive()
    waiting = world.run(run.id)
    assert (waiting.status, waiting.failures) == ("waiting_human", 0)
    eventually(lambda: db.now() > (waiting.waiting_since or 0) + LIMIT * 2, what="twice the limit")
    claim_and_look(world)
    assert world.run(run.id).status == "waiting_human"


def claim_and_look(world: World) -> None:
    """Somebody looks at the run again, and lets go of it."""
    AgentRun.update(let_go_at=None).where(AgentRun.let_go_at.is_null(False)).execute()
    world.drive()


@pytest.mark.real_agent
@sqlite_only
@pytest.mark.parametrize("limit", [6.0])
def test_a_real_agent_is_judged_the_same(world: World, limit: float) -> None:
    """The proxy is off here, so that a model that never answers is silence; a silent command is none."""
    quiet = f"[[bash:python3 -c 'import time; time.sleep({limit + 2})'; touch x]][[text:done]]"
    world.create(quiet, provider="claude-code", options={"approval": "all"})
    run = world.drive()
    assert (run.status, run.attempt, run.message) == ("succeeded", 1, "done")
    world.create("[[hang]]", provider="claude-code")
    hung = world.drive()
    assert (hung.status, hung.failures) == ("queued", 1)
    warnings = [event.data["code"] for event in world.events(hung.id) if event.type == "run.warning"]
    assert warnings[-1] == "provider_no_output"


def _drive(world: World, claim: Any) -> None:
    with db.connection():
        world.driver(claim).drive()
