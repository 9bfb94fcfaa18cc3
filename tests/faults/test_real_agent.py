"""Workers killed at random moments of runs with the real Claude Code: the agent is started once and goes on, and SQL, Redis, SSE
and WebSocket tell one and the same story (PROMISES P1, R1)."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import orjson
import pytest

from app.container import Container
from app.models import AgentRun
from app.services.log_check import check
from tests.support.journals import logged, starts_of, stepped_once
from tests.support.model_server import ModelServer
from tests.support.stack import Stack, claude_code, stack
from tests.support.stream_clients import LogClient, SseClient, WebSocketClient, archive_of, assert_whole
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(3000), pytest.mark.promise("P1", "R1")]

AT_ONCE = 2
KILLS_PER_ROUND = 2
ROUNDS = 25 if LONG else 2
LONGEST_WAIT = 2.5
"""Seconds before a kill; a run that nobody kills lasts about four."""

PROMPT = (
    "[[think:where to begin?]][[text:I begin.]][[slow:25:30]][[write:made.txt:by hand]][[todo]]"
    "[[ask:Which colour?|Red|Blue]][[bash:touch seen.txt; sleep 0.4]][[slow:25:30]]"
)


@pytest.fixture
def running(database_url: str) -> Iterator[Stack]:
    settings = {
        "DATABASE_URL": database_url,
        "PADDOCK_LEASE_SECONDS": "2",
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_WEB_PROCESSES": "1",
        # a lease that ends without a new event counts against the run; here workers die far more often than any run could bear
        "PADDOCK_MAX_ATTEMPTS": "1000",
    }
    with ModelServer() as model, stack({**settings, **claude_code(model)}) as started:
        yield started


@contextmanager
def person(running: Stack) -> Iterator[None]:
    """Somebody who answers whatever is asked, through the API."""
    done = threading.Event()

    def answer(client: httpx.Client) -> None:
        for item in client.get("/api/human-loop/pending").json()["items"]:
            reply: dict[str, object] = {"decision": "allow"}
            if item["kind"] == "question":
                reply = {"answers": {question["id"]: ["Blue"] for question in item["questions"]}}
            key = {"Idempotency-Key": item["requestId"]}
            client.post("/api/human-loop/reply", json={"requestId": item["requestId"], **reply}, headers=key)

    def watch() -> None:
        with running.client() as client:
            while not done.wait(0.1):
                with suppress(httpx.TransportError):
                    answer(client)

    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(watch)
        try:
            yield
        finally:
            done.set()
        watching.result()


def kill_the_holder(running: Stack, run_id: str) -> None:
    """SIGKILL the worker that drives the run, or any where none does at the moment."""
    workers = {mark.pid: name for name, mark in running.processes().items() if name.startswith("worker-")}
    owner = str(AgentRun.get_by_id(run_id).lease_owner or "").split(":")
    pid = int(owner[1]) if len(owner) > 1 else 0
    if pid not in workers:
        pid = random.choice(list(workers) or [0])
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def assert_one_story(container: Container, run_id: str, clients: list[LogClient], archive: list[bytes]) -> None:
    run = AgentRun.get_by_id(run_id)
    assert (run.status, run.attempt) == ("succeeded", 1), (run_id, run.failure_code, run.failure_message)
    assert starts_of(container, run) == 1
    assert len(archive) == run.last_seq
    for client in clients:
        assert_whole(client, archive)
        assert client.connections == 1  # the workers died, not web
    assert check(run_id, container.stream, [client.envelopes for client in clients]) == []
    assert logged(run) == stepped_once(container, run)
    types = [orjson.loads(frame)["type"] for frame in archive]
    for kind in ("run.started", "run.finished", "run.closed"):
        assert types.count(kind) == 1
    assert types.count("human_loop.requested") == types.count("human_loop.resolved") >= 3
    file = container.sandboxes.connect(run.session_id)
    assert file is not None
    assert file.read_file("made.txt", offset=0, limit=100)[0] == b"by hand"


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_a_killed_worker_costs_a_real_run_nothing(running: Stack, figures: Figures) -> None:
    with running.opened() as container, running.client() as api, person(running):
        for number in range(ROUNDS):
            prompts = [f"Round {number}, run {place}. {PROMPT}" for place in range(AT_ONCE)]
            play_a_round(running, container, api, prompts)
    killed = f"{ROUNDS * KILLS_PER_ROUND} under {ROUNDS * AT_ONCE} runs of Claude Code, each agent started once, logs as stepped once"
    figures.add("workers killed", killed, ">= 50 kills", ROUNDS * KILLS_PER_ROUND >= 50 or not LONG)


def play_a_round(running: Stack, container: Container, api: httpx.Client, prompts: list[str]) -> None:
    ids = [running.start(api, prompt, provider="claude-code") for prompt in prompts]
    clients: list[LogClient] = [
        kind(running.url, running.token, run_id) for run_id in ids for kind in (SseClient, WebSocketClient)
    ]
    for client in clients:
        client.start()
    for _ in range(KILLS_PER_ROUND):
        threading.Event().wait(random.uniform(0, LONGEST_WAIT))  # the random moment of the kill
        kill_the_holder(running, random.choice(ids))
    for client in clients:
        client.finish()
    eventually(lambda: all(AgentRun.get_by_id(run_id).stream_closed_at for run_id in ids), what="closed streams")
    for run_id in ids:
        mine = [client for client in clients if client.run_id == run_id]
        assert_one_story(container, run_id, mine, archive_of(api, run_id, limit=50))
