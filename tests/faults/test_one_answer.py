"""One request, one answer: fifty people reply at once, and whoever carries the answer is killed on the way (P3)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.domain.journal import agent_id
from app.models import AgentRun, HumanLoopRequest
from app.services.log_check import check
from tests.support.fleet import Code, open_fleet
from tests.support.planted import DELIVERY, REPLY, Deaths
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

pytestmark = [pytest.mark.promise("P3"), pytest.mark.timeout(900)]

AT_ONCE = 50
REPLY_ROUTE = "/api/human-loop/reply"
DEADLY = Code(worker=("tests.support.planted", "workers", "runs"))
HELD, AT_REST = "held", "let go"
"""Whether the run has a holder who listens when the answer comes."""
LEASES = {HELD: 2.0, AT_REST: 6.0}
"""A holder looks for commands at each renewal, a third into the lease, and lets go once it heard nothing for a second."""


@pytest.fixture
def holder() -> str:
    return HELD


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, holder: str) -> Iterator[World]:
    with open_world(
        tmp_path / "var", database_url, redis_url, lease_seconds=LEASES[holder], max_attempts=1000
    ) as world:
        yield world


def client_of(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": "Bearer pdk_world"}, timeout=60, trust_env=False)


def asking(world: World) -> HumanLoopRequest:
    """A run that writes a file once it is allowed to; returns what it asks."""
    run = world.create("/write a.txt x")
    return eventually(lambda: HumanLoopRequest.get_or_none(HumanLoopRequest.run_id == run.id), what="the question")


def answer_of(client: httpx.Client, request: HumanLoopRequest) -> dict[str, Any]:
    """Allow it, and come back with the same key when web was killed meanwhile."""
    key = uuid.uuid4().hex

    def answered() -> dict[str, Any] | None:
        body = {"requestId": request.id, "decision": "allow"}
        answer = client.post(REPLY_ROUTE, json=body, headers={"Idempotency-Key": key})
        if answer.status_code == 409 and answer.json()["code"] == "idempotency_in_flight":
            return None
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return eventually(answered, what="an answer", ignore=(httpx.TransportError,))


def assert_told_once(world: World, request: HumanLoopRequest) -> None:
    """The agent got one answer, and did once what it had asked for."""
    run: AgentRun = eventually(lambda: AgentRun.get_or_none(AgentRun.id == request.run_id, AgentRun.finished_at > 0))
    assert (run.status, run.attempt) == ("succeeded", 1), (run.status, run.failure_message)
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    journal = list(executor.follow(agent_id(run.id, 1), 0))
    assert sum(record.kind == "in" and "reply:" in (record.key or "") for record in journal) == 1
    resolved = [event.data for event in world.events(run.id) if event.type == "human_loop.resolved"]
    assert [(data["outcome"], data["delivery"]) for data in resolved] == [("answered", "live")]
    assert [event.data["status"] for event in world.events(run.id) if event.type == "tool.result"] == ["ok"]
    assert HumanLoopRequest.get_by_id(request.id).delivered_at is not None
    assert check(run.id, world.container.stream) == []


def test_of_fifty_replies_at_once_one_reaches_the_agent_and_the_others_get_it_back(
    world: World, figures: Figures
) -> None:
    rounds = 8 if LONG else 1
    with open_fleet(world, 1), serving(world.settings, processes_count=2) as server:
        for _ in range(rounds):
            request = asking(world)
            gate = threading.Barrier(AT_ONCE)
            answers: list[dict[str, Any]] = []

            def reply(number: int, request: HumanLoopRequest = request, gate: threading.Barrier = gate) -> Any:
                body = {"requestId": request.id, "decision": ("allow", "allow_always")[number % 2]}
                with client_of(server) as client:
                    gate.wait()
                    answer = client.post(REPLY_ROUTE, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
                assert answer.status_code == 200, answer.text
                return answer.json()

            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers += pool.map(reply, range(AT_ONCE))
            assert [answer["duplicate"] for answer in answers].count(False) == 1
            (first,) = {answer["reply"]["decision"] for answer in answers}
            assert HumanLoopRequest.get_by_id(request.id).reply == {"decision": first}
            assert_told_once(world, request)
    figures.add("replies", rounds * AT_ONCE)
    figures.add("duplicates given back", rounds * (AT_ONCE - 1))


@pytest.mark.parametrize("holder", [HELD, AT_REST] if LONG else [HELD])
def test_an_answer_reaches_the_agent_once_wherever_its_bearer_is_killed(
    world: World, holder: str, figures: Figures, tmp_path: Path
) -> None:
    deaths = Deaths(tmp_path / "deaths")
    points = list(DELIVERY) if LONG else ["answer-in-the-journal", "answer-delivered"]
    workers = len(points) + (len(REPLY) if LONG else 0)  # a holder each: who dies takes nobody else with it
    with serving(
        world.settings, processes_count=2, wsgi="tests.support.planted_web:app", **deaths.environment
    ) as server:
        with open_fleet(world, workers, DEADLY, PADDOCK_WORKER_THREADS="1", **deaths.environment):
            requests = {point: asking(world) for point in points}
            by_web = {point: asking(world) for point in REPLY} if LONG else {}
            if holder == AT_REST:
                eventually(lambda: not AgentRun.select().where(AgentRun.let_go_at.is_null()).exists(), what="let go")
            for point, request in requests.items():
                deaths.arm(point, request.run_id)
                with client_of(server) as client:
                    assert answer_of(client, request)["duplicate"] is False
                deaths.await_death(point, request.run_id)
            for point, request in by_web.items():
                deaths.arm(point)
                with client_of(server) as client:
                    assert answer_of(client, request)["duplicate"] is True  # the one that died had written it down
                deaths.await_death(point)
        with open_fleet(world, 1):
            for request in (*requests.values(), *by_web.values()):
                assert_told_once(world, request)
    figures.add(f"bearers killed ({holder})", len(requests) + len(by_web))
    figures.add("answers delivered once", len(requests) + len(by_web))
