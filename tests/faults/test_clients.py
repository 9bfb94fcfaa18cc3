"""Clients that are cut off, by a killed web tier or by themselves: each gets the whole log, once, in order (PROMISES R5)."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import orjson
import pytest

from app.domain.events import envelope
from app.models import AgentRun
from app.services import log_rows
from app.services.log_check import ALL, check
from cli.processes import ProcessMark
from tests.support.fleet import Fleet, open_fleet
from tests.support.stack import Stack, stack
from tests.support.stream_clients import LogClient, SseClient, WebSocketClient, archive_of, assert_whole
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import serving
from tests.support.world import World, open_world

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings(
        "ignore:unclosed <socket:ResourceWarning"
    ),  # of a WebSocket library refused in its handshake
]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack({"PADDOCK_WORKER_THREADS": "10", "PADDOCK_STREAMS_PER_PRINCIPAL": "10000"}) as started:
        yield started


def rows_of(run: AgentRun) -> list[bytes]:
    """The whole log as SQL has it."""
    return [orjson.dumps(envelope(event, run.session_id, run.trace_id)) for event in log_rows.read(run.id, 0, ALL)]


def assert_all_got_everything(running: Stack, clients: list[LogClient]) -> None:
    with running.opened() as container, running.client() as api:
        for run_id in {client.run_id for client in clients}:
            run = AgentRun.get_by_id(run_id)
            assert run.status == "succeeded"
            archive = archive_of(api, run_id)
            assert archive == rows_of(run)
            mine = [client for client in clients if client.run_id == run_id]
            for client in mine:
                assert_whole(client, archive)
            assert check(run_id, container.stream, [client.envelopes for client in mine]) == []


def gunicorn_workers(master: ProcessMark) -> set[int]:
    """The processes that a gunicorn master started and that live."""
    path = f"/proc/{master.pid}/task/{master.pid}/children"
    with suppress(FileNotFoundError), open(path, encoding="ascii") as file:
        return {int(pid) for pid in file.read().split()}
    return set()


def kill_a_worker(running: Stack) -> None:
    workers = gunicorn_workers(running.processes()["web"])
    for pid in workers:  # all of them: every client is cut off
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: len(gunicorn_workers(running.processes()["web"]) - workers) == len(workers), what="new web workers"
    )


def kill_the_master(running: Stack) -> None:
    running.restart("web")
    running.wait_until_ready()


@pytest.mark.promise("R5")
@pytest.mark.parametrize("kill", [kill_a_worker, kill_the_master])
def test_clients_resume_from_their_cursor_after_web_was_killed(running: Stack, kill: Callable[[Stack], None]) -> None:
    kills = 3 if LONG else 1
    prompt = "/slow 100 40\n/approve Go on?\n" * kills + "/slow 50 20"  # it cannot end before web was killed so often
    with running.client() as api:
        runs = [running.start(api, prompt) for _ in range(3)]
    kinds = (SseClient, SseClient, WebSocketClient, WebSocketClient)
    clients: list[LogClient] = [kind(running.url, running.token, run_id) for run_id in runs for kind in kinds]
    for client in clients:
        client.start()
    for number in range(1, kills + 1):
        follow_some(clients)
        kill(running)
        with running.client() as api:
            for run_id in runs:
                allow(api, run_id, number)
    for client in clients:
        client.finish()
    assert_all_got_everything(running, clients)
    assert all(client.connections > kills for client in clients)


def follow_some(clients: Sequence[LogClient], events: int = 10) -> None:
    seen = {client: client.last for client in clients}
    eventually(
        lambda: all(client.closed or client.last > seen[client] + events for client in clients),
        60,
        what="all clients stream",
    )


def allow(api: httpx.Client, run_id: str, number: int) -> None:
    """Allow what the run asks next."""

    def pending() -> list[dict[str, str]]:
        items: list[dict[str, str]] = api.get("/api/human-loop/pending", params={"runId": run_id}).json()["items"]
        return items

    (request,) = eventually(pending, what="the approval")
    body = {"requestId": request["requestId"], "decision": "allow"}
    answer = api.post("/api/human-loop/reply", json=body, headers={"Idempotency-Key": f"{run_id}-{number}"})
    assert answer.status_code == 200, answer.text


@pytest.mark.promise("R5")
def test_clients_that_drop_again_and_again_get_the_archive_byte_for_byte(
    tmp_path: Path, database_url: str, redis_url: str, figures: Figures
) -> None:
    """Runs stream; fifty clients let go of their connection at random, in the middle of anything; workers are killed meanwhile."""
    count, words, pause_ms = (25, 4000, 30) if LONG else (4, 60, 50)
    shortest, longest = (1.0, 5.0) if LONG else (0.3, 2.0)
    settings = {"lease_seconds": 2.0, "max_attempts": 1000, "heartbeat_seconds": 1.0}
    with (
        open_world(tmp_path / "var", database_url, redis_url, **settings) as world,
        open_fleet(world, 4 if LONG else 2, PADDOCK_WORKER_THREADS="10") as fleet,
        serving(world.settings, processes_count=2, PADDOCK_STREAMS_PER_PRINCIPAL="10000") as server,
    ):
        made = [world.create(f"/say größer \u2028 {number}\n/slow {words} {pause_ms}") for number in range(count)]
        clients = [
            SseClient(
                server.url,
                "pdk_world",
                made[number % count].id,
                drop_after=lambda: random.uniform(shortest, longest),
                patience=900,
            )
            for number in range(50)
        ]
        for client in clients:
            client.start()
        kills = kill_while_they_stream(fleet, clients)
        for client in clients:
            client.join()
        headers = {"Authorization": "Bearer pdk_world"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as api:
            events = assert_logs_are_what_clients_got(world, api, clients)
    connections = sum(client.connections for client in clients)
    assert connections > 2 * len(clients)
    figures.add("events", events)
    figures.add("events received", sum(len(client.frames) for client in clients))
    figures.add("connections of 50 clients", connections)
    figures.add("workers killed", kills)


def kill_while_they_stream(fleet: Fleet, clients: Sequence[LogClient]) -> int:
    """Kill a random worker now and then, once the one before has been replaced; returns how many."""
    kills, ready = 0, fleet.log().count("worker ready")
    while any(client.is_alive() for client in clients) and kills < (1000 if LONG else 1):
        follow_some([client for client in clients if client.is_alive()], events=1)
        threading.Event().wait(random.uniform(*((4.0, 8.0) if LONG else (0.1, 0.8))))  # the random moment of the kill
        fleet.kill_one()
        kills += 1
        eventually(lambda: fleet.log().count("worker ready") >= ready + kills, 60, what="another worker")  # noqa: B023
    return kills


def assert_logs_are_what_clients_got(world: World, api: httpx.Client, clients: Sequence[LogClient]) -> int:
    """What each client got is the archive, byte for byte, and SQL and Redis agree; returns how many events there are."""
    events = 0
    for run_id in {client.run_id for client in clients}:
        run = world.run(run_id)
        assert (run.status, run.attempt) == ("succeeded", 1), (run.failure_code, run.failure_message)
        archive = archive_of(api, run_id)
        assert archive == rows_of(run)
        mine = [client for client in clients if client.run_id == run_id]
        for client in mine:
            assert_whole(client, archive)
        assert check(run_id, world.container.stream, [client.envelopes for client in mine[:1]]) == []
        events += len(archive)
    return events
