"""What a working agent is told reaches it once, and is in the log once, wherever its bearer is killed (P1)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.journal import agent_id
from app.models import AgentRun, RunCommand
from app.services.log_check import check
from tests.support.fleet import Code, open_fleet
from tests.support.journals import logged, starts_of, stepped_once
from tests.support.planted import REPLY, STEERING, Deaths
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

pytestmark = [pytest.mark.promise("P1"), pytest.mark.timeout(900)]

DEADLY = Code(worker=("tests.support.planted", "workers", "runs"))
BY_WEB = list(REPLY) if LONG else ["answer-committed-not-rung"]
"""Web rings for a message as for an answer."""
POINTS = list(STEERING) if LONG else ["message-read", "message-in-the-journal", "word-seen"]


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=2.0, max_attempts=1000) as world:
        yield world


def speaking(world: World) -> AgentRun:
    run = world.create("/slow 150 50")
    eventually(lambda: "message.delta" in world.types(run.id), what="the agent speaks")
    return world.run(run.id)


def tell(server: Server, run: AgentRun) -> None:
    """Tell it, and come back with the same key when web was killed meanwhile."""
    key, body = uuid.uuid4().hex, {"text": "/say told", "timeoutMs": 0}

    def told() -> bool:
        headers = {"Authorization": "Bearer pdk_world", "Idempotency-Key": key}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
            answer = client.post(f"/api/runs/{run.id}/input", json=body)
        assert answer.status_code in (200, 202) or answer.json()["code"] == "idempotency_in_flight", answer.text
        return answer.status_code != 409

    eventually(told, what="an answer", ignore=(httpx.TransportError,))


def assert_told_once(world: World, run_id: str) -> None:
    run: AgentRun = eventually(lambda: AgentRun.get_or_none(AgentRun.id == run_id, AgentRun.finished_at > 0), 60)
    assert (run.status, run.attempt) == ("succeeded", 1), (run.status, run.failure_message)
    (command,) = RunCommand.select().where(RunCommand.run_id == run.id)
    assert command.outcome == "taken"
    said: list[dict[str, Any]] = [event.data for event in world.events(run.id) if event.type == "message.stop"]
    assert [data["text"] for data in said if data.get("role") == "user"] == ["/say told"]
    assert [data["text"] for data in said].count("told") == 1
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    keys = [record.key or "" for record in executor.follow(agent_id(run.id, 1), 0)]
    assert sum(key.startswith("steer:") for key in keys) == 2  # the control record, and the line to the agent
    assert starts_of(world.container, run) == 1
    assert logged(run) == stepped_once(world.container, run)
    assert check(run.id, world.container.stream) == []


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_a_message_reaches_the_agent_once_wherever_its_bearer_is_killed(
    world: World, figures: Figures, tmp_path: Path
) -> None:
    deaths = Deaths(tmp_path / "deaths")
    workers = len(POINTS) + len(BY_WEB)  # a holder each: who dies takes nobody else with it
    with serving(
        world.settings, processes_count=2, wsgi="tests.support.planted_web:app", **deaths.environment
    ) as server:
        with open_fleet(world, workers, DEADLY, PADDOCK_WORKER_THREADS="1", **deaths.environment):
            told = []
            for point in POINTS:
                run = speaking(world)
                told.append(run.id)
                deaths.arm(point, run.id)
                tell(server, run)
                deaths.await_death(point, run.id)
            for point in BY_WEB:
                run = speaking(world)
                told.append(run.id)
                deaths.arm(point)
                tell(server, run)
                deaths.await_death(point)
        with open_fleet(world, 1):
            for run_id in told:
                assert_told_once(world, run_id)
    figures.add("bearers of messages killed", len(told))
    figures.add("messages told once", len(told))
