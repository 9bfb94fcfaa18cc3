"""Creating runs over real HTTP: the same request many times at once (R7), and web killed anywhere on the way (R8)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.models import AgentRun
from app.services.log_check import check
from tests.support.fleet import open_fleet
from tests.support.planted import CREATION, Deaths
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

AT_ONCE = 50
START, ENQUEUE = "/api/runs/start", "/api/runs/queue/enqueue"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=2.0, heartbeat_seconds=1.0) as world:
        yield world


def client_of(server: Server, **headers: str) -> httpx.Client:
    """Everybody has a connection of their own, so that every process of web gets some."""
    sent = {"Authorization": "Bearer pdk_world", **headers}
    return httpx.Client(base_url=server.url, headers=sent, timeout=60, trust_env=False)


def until_answered(client: httpx.Client, path: str, body: dict[str, Any], key: str) -> httpx.Response:
    """Send until there is an answer, as a client does that was cut off or told that its request is in flight."""

    def answered() -> httpx.Response | None:
        answer = client.post(path, json=body, headers={"Idempotency-Key": key})
        if answer.status_code == 409:
            assert (answer.json()["code"], answer.json()["retryable"]) == ("idempotency_in_flight", True)
            return None
        return answer

    return eventually(answered, 60, what="an answer", ignore=(httpx.TransportError,))


def at_once(server: Server, send: Callable[[httpx.Client], httpx.Response]) -> list[httpx.Response]:
    gate = threading.Barrier(AT_ONCE)

    def one(_: int) -> httpx.Response:
        with client_of(server, Prefer="respond-async") as client:
            gate.wait()
            return send(client)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


@pytest.mark.promise("R7")
@pytest.mark.timeout(900)
def test_fifty_requests_at_once_with_one_key_or_one_run_id_make_one_run(world: World, figures: Figures) -> None:
    rounds = 30 if LONG else 1
    with serving(world.settings, processes_count=3 if LONG else 2, PADDOCK_CALLS_PER_MINUTE="1000000") as server:
        for number in range(rounds):
            with_one_key(server, START, f"start {number}")
            with_one_key(server, ENQUEUE, f"enqueue {number}")
            with_one_run_id(server, f"run_chosen_{number}")
            assert AgentRun.select().count() == 3 * (number + 1)
    figures.add("requests", 3 * rounds * AT_ONCE)
    figures.add("runs", AgentRun.select().count(), bar=f"= {3 * rounds}")


def with_one_key(server: Server, path: str, prompt: str) -> None:
    """All get the first one's answer; another body under the key is refused."""
    key = uuid.uuid4().hex
    answers = at_once(server, lambda client: until_answered(client, path, {"prompt": prompt}, key))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replay" in answer.headers for answer in answers) == AT_ONCE - 1
    with client_of(server) as client:
        other = client.post(path, json={"prompt": "another"}, headers={"Idempotency-Key": key})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def with_one_run_id(server: Server, run_id: str) -> None:
    """Each with a key of its own: the first makes the run, the others get that item."""
    body = {"runId": run_id, "prompt": "hello"}
    answers = at_once(server, lambda client: until_answered(client, ENQUEUE, body, uuid.uuid4().hex))
    assert {answer.status_code for answer in answers} == {202}, {answer.text for answer in answers}
    assert {answer.json()["runId"] for answer in answers} == {run_id}


# --- web dies --------------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("R8")
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_made_twice_wherever_web_is_killed(world: World, figures: Figures, tmp_path: Path) -> None:
    deaths = Deaths(tmp_path / "deaths")
    sweep = 5.0 if LONG else 0.5  # 5 s is what an installation has
    forms = (
        [{"Prefer": "respond-async"}, {}, {"Accept": "text/event-stream"}] if LONG else [{"Prefer": "respond-async"}]
    )
    made: list[str] = []
    with (
        open_fleet(world, 1, PADDOCK_SWEEP_SECONDS=str(sweep)),
        serving(
            world.settings, processes_count=2, wsgi="tests.support.planted_web:app", **deaths.environment
        ) as server,
    ):
        for form in forms:
            for point in CREATION:
                made.append(killed_at(server, deaths, point, form))
        eventually(lambda: all(world.run(run_id).finished_at for run_id in made), 60, what="all runs end")
    assert len(set(made)) == len(made) == AgentRun.select().count()
    for run_id in made:
        assert (world.run(run_id).status, world.run(run_id).attempt) == ("succeeded", 1)
        assert check(run_id, world.container.stream) == []
    waits = [world.run(run_id).claimed_at - world.run(run_id).created_at for run_id in made]
    lost = list(CREATION).index("after-commit-before-the-bell")
    longest = max(waits[lost :: len(CREATION)])
    figures.add("kills", len(made))
    figures.add("lost", len(made) - AgentRun.select().count(), bar="= 0")
    figures.add(f"start after a lost bell (sweep {sweep:g} s)", f"{longest:.1f} s", bar="<= 35 s", met=longest <= 35)


def killed_at(server: Server, deaths: Deaths, point: str, form: dict[str, str]) -> str:
    """Create a run while web dies at `point`, come back with the same key until there is an answer, and return the run's id once a
    worker has it: the next run's bell must not help this one."""
    key, body = uuid.uuid4().hex, {"prompt": f"hello {point}", "timeoutMs": 20_000}
    with client_of(server, **form) as client:
        deaths.arm(point)
        with pytest.raises(httpx.TransportError):
            client.post(START, json=body, headers={"Idempotency-Key": key})
        deaths.await_death(point)
        again = until_answered(client, START, body, key)
        assert again.status_code in (200, 202), again.text
        mine = list(AgentRun.select().where(AgentRun.prompt == body["prompt"]).order_by(AgentRun.id.desc()))
        run: AgentRun = mine[0]
        if "Accept" not in form:
            assert again.json()["runId"] == run.id
        eventually(lambda: AgentRun.get_by_id(run.id).claimed_at, what="a worker takes the run")
    return str(run.id)
