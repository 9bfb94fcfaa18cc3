"""`make down` and `make up` while the real agent works and while it waits for an answer: nothing is lost, nothing runs twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from executor import processes
from tests.support.model_server import ModelServer
from tests.support.stack import COMMAND, Stack, claude_code, envelopes, stack
from tests.support.stream_clients import SseClient, WebSocketClient, archive_of, assert_whole
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_agent


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def running(model: ModelServer) -> Iterator[Stack]:
    settings = {
        "PADDOCK_WEB_PROCESSES": "1",
        "PADDOCK_WORKER_PROCESSES": "1",
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_LEASE_SECONDS": "3",
    }
    with stack({**settings, "CLAUDE_CODE_MAX_RETRIES": "1", **claude_code(model)}) as started:
        yield started


def run_of(api: httpx.Client, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = api.get(f"/api/runs/{run_id}").json()
    return run


def types_of(api: httpx.Client, run_id: str) -> list[str]:
    return [event["type"] for event in api.get(f"/api/runs/{run_id}/events", params={"limit": 500}).json()["items"]]


def start_one_that_works_and_one_that_waits(running: Stack) -> tuple[str, str]:
    gate = uuid.uuid4().hex
    with running.client() as api:
        works = running.start(api, f"It is {gate}. [[gate:{gate}]]", provider="claude-code")
        waits = running.start(api, f"It is {gate}. [[write:answered.txt:yes]][[text:Written.]]", provider="claude-code")
        eventually(lambda: "message.delta" in types_of(api, works), what="the first words")
        eventually(lambda: run_of(api, waits)["status"] == "waiting_human", what="the approval")
    return works, waits


def gate_of(model: ModelServer, api: httpx.Client, run_id: str) -> None:
    """Let the run that stands before its gate go on."""
    model.open(str(run_of(api, run_id)["prompt"]).split()[2].rstrip("."))


def allow(api: httpx.Client, run_id: str) -> dict[str, Any]:
    found = eventually(lambda: api.get("/api/human-loop/pending", params={"runId": run_id}).json()["items"])
    body = {"requestId": found[0]["requestId"], "decision": "allow"}
    answer: dict[str, Any] = api.post(
        "/api/human-loop/reply", json=body, headers={"Idempotency-Key": uuid.uuid4().hex}
    ).json()
    return answer


def end_of(api: httpx.Client, run_id: str) -> dict[str, Any]:
    return eventually(lambda: (run := run_of(api, run_id)).get("finishedAt") and run, 60, what=f"the end of {run_id}")


def agents(running: Stack) -> set[int]:
    """The processes of agents in this installation's sandboxes, without the executors."""
    with running.opened() as container:
        names = container.sandboxes.list_running()
        states = [container.sandboxes._read(name) for name in names]  # type: ignore[attr-defined]
    executors = {state.executor_pid for state in states if state is not None}
    return processes.descendants(processes.table(), executors) - executors


def test_what_works_and_what_waits_goes_on_where_it_was(running: Stack, model: ModelServer) -> None:
    works, waits = start_one_that_works_and_one_that_waits(running)
    calls, before = len(model.calls), agents(running)
    running.down()
    assert running.processes() == {}
    assert agents(running) == before  # they go on by themselves
    running.up()
    with running.client() as api:
        assert run_of(api, waits)["status"] == "waiting_human"
        assert allow(api, waits)["duplicate"] is False
        gate_of(model, api, works)
        for run_id, said in ((works, "Before the gate. Behind the gate."), (waits, "Written.")):
            run = end_of(api, run_id)
            assert (run["status"], run["attempt"], run["message"]) == ("succeeded", 1, said), run
            assert types_of(api, run_id).count("run.started") == 1
    assert len(model.calls) == calls + 1  # only what comes after the approved call


def test_an_answer_given_while_no_worker_runs_is_not_lost(running: Stack) -> None:
    _, waits = start_one_that_works_and_one_that_waits(running)
    for name in [name for name in running.processes() if name.startswith("worker")]:
        running.kill(name)
    with running.client() as api:
        allow(api, waits)
        run = end_of(api, waits)
    assert (run["status"], run["attempt"]) == ("succeeded", 1), run


def test_streams_that_were_open_go_on_after_the_next_start(running: Stack, model: ModelServer) -> None:
    works, waits = start_one_that_works_and_one_that_waits(running)
    clients = [kind(running.url, running.token, run) for run in (works, waits) for kind in (SseClient, WebSocketClient)]
    for client in clients:
        client.start()
    eventually(lambda: all(client.last > 5 for client in clients), what="all clients to follow")
    argv = [*COMMAND, "tail", "--json", works]
    with contextlib.ExitStack() as ending:
        tail = ending.enter_context(subprocess.Popen(argv, env=running.environment, stdout=subprocess.PIPE, text=True))
        ending.callback(tail.kill)
        assert tail.stdout is not None
        lines = [tail.stdout.readline()]
        running.down()
        running.up()
        with running.client() as api:
            gate_of(model, api, works)
            allow(api, waits)
            for client in clients:
                client.finish()
                assert_whole(client, archive_of(api, client.run_id))
        lines += list(tail.stdout)
        assert tail.wait(timeout=60) == 0
    events = envelopes("".join(lines))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))


def test_down_with_stop_ends_agents_and_the_work_is_taken_up_again(running: Stack, model: ModelServer) -> None:
    works, waits = start_one_that_works_and_one_that_waits(running)
    before = agents(running)
    assert before
    running.down(agents=True)
    assert not any(pid in processes.table() for pid in before)
    with running.opened() as container:
        assert container.sandboxes.list_running() == []
    running.up()
    with running.client() as api:
        gate_of(model, api, works)
        eventually(lambda: allow(api, waits)["duplicate"] is False, what="an answer that is taken")
        for run_id in (works, waits):
            run = end_of(api, run_id)
            assert (run["status"], run["attempt"]) == ("succeeded", 2), run
            modes = [
                event["data"]["mode"]
                for event in api.get(f"/api/runs/{run_id}/events", params={"limit": 500}).json()["items"]
                if event["type"] == "context.restored"
            ]
            assert modes == ["fresh", "native_resume"]
        assert run_of(api, waits)["message"] == "Written."
        session = run_of(api, waits)["sessionId"]
        assert (
            api.get(f"/api/session-workers/{session}/workspace/file", params={"path": "answered.txt"}).content == b"yes"
        )


def test_a_machine_that_lost_everything_at_once_goes_on(running: Stack, model: ModelServer) -> None:
    """As after a power cut: supervisor, web, workers, scheduler, Redis, executors and agents are gone in the same moment."""
    works, waits = start_one_that_works_and_one_that_waits(running)
    with running.opened() as container:
        states = [container.sandboxes._read(name) for name in container.sandboxes.list_running()]  # type: ignore[attr-defined]
    supervisor = running.supervisor()
    assert supervisor is not None
    pids = [supervisor.pid, *(mark.pid for mark in running.processes().values())]
    pids += [pid for state in states if state is not None for pid in (state.pid, state.executor_pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # so that none of them sees another die
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    running.up()
    with running.client() as api:
        gate_of(model, api, works)
        eventually(lambda: allow(api, waits)["duplicate"] is False, what="an answer that is taken")
        for run_id in (works, waits):
            run = end_of(api, run_id)
            assert (run["status"], run["attempt"]) == ("succeeded", 2), run
