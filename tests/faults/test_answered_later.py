"""The real Claude Code, answered after its sandbox was stopped, and after every process was killed: what was approved is done
once, what was denied is not (P2)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.models import AgentRun, HumanLoopRequest, RunEvent, SessionWorker
from tests.support.catastrophe import kill_everything
from tests.support.model_server import ModelServer
from tests.support.stack import Stack, claude_code, stack
from tests.support.verdicts import LONG
from tests.support.waiting import eventually

PROMPT = "The word is {word}. [[text:I ask.]][[bash:echo {word} >> done.txt]][[text:So be it.]]"


@pytest.fixture
def running(database_url: str) -> Iterator[Stack]:
    settings = {
        "PADDOCK_LEASE_SECONDS": "5",
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_WAITING_KEEP_SECONDS": "0.5",
        "PADDOCK_WAITING_LOOK_SECONDS": "1",
        "PADDOCK_WORKER_PROCESSES": "1",
        "PADDOCK_WEB_PROCESSES": "1",
    }
    if database_url.startswith("postgres"):
        settings["DATABASE_URL"] = database_url
    with ModelServer() as model, stack({**settings, **claude_code(model)}) as started:
        yield started


def answer(api: httpx.Client, run_id: str, decision: str) -> None:
    (item,) = api.get("/api/human-loop/pending", params={"runId": run_id}).json()["items"]
    body = {"requestId": item["requestId"], "decision": decision}
    told = api.post("/api/human-loop/reply", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert (told.status_code, told.json()["duplicate"]) == (200, False), told.text


def ended(run_id: str) -> AgentRun:
    eventually(lambda: AgentRun.get_by_id(run_id).finished_at is not None, 90, what="the end of the run")
    run: AgentRun = AgentRun.get_by_id(run_id)
    assert run.status == "succeeded", (run.failure_code, run.failure_message)
    return run


def data_of(run_id: str, kind: str) -> list[dict[str, Any]]:
    query = RunEvent.select().where(RunEvent.run_id == run_id, RunEvent.type == kind).order_by(RunEvent.seq)
    return [event.data for event in query]


def assert_told(api: httpx.Client, run: AgentRun, decision: str, written: str) -> None:
    """The first answer came to a new process that went on with the conversation; `written` is what was done."""
    resolved = data_of(run.id, "human_loop.resolved")
    assert {data["reply"]["decision"] for data in resolved} == {decision}
    assert resolved[0]["delivery"] == "resumed"
    assert [data["mode"] for data in data_of(run.id, "context.restored")][:2] == ["fresh", "native_resume"]
    file = api.get(f"/api/session-workers/{run.session_id}/workspace/file", params={"path": "done.txt"})
    assert (file.text if file.status_code == 200 else "") == written
    assert len(resolved) == 1  # what was decided holds: nobody was asked twice


@pytest.mark.real_agent
@pytest.mark.slow
@pytest.mark.promise("P2")
@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_an_answer_reaches_a_stopped_agent_also_after_everything_was_killed(running: Stack) -> None:
    with running.opened() as container, running.client() as api:
        names = ("allowed", "denied", "restarted")
        ids = [running.start(api, PROMPT.format(word=name), provider="claude-code") for name in names]
        at_rest = (SessionWorker.status == "stopped") & SessionWorker.receipt.is_null(False)
        eventually(lambda: SessionWorker.select().where(at_rest).count() == len(ids), 90, what="stopped sandboxes")
        eventually(lambda: not container.sandboxes.list_running(), what="their processes' end")
        answer(api, ids[0], "allow")
        answer(api, ids[1], "deny")
        assert_told(api, ended(ids[0]), "allow", "allowed\n")
        assert_told(api, ended(ids[1]), "deny", "")
        kill_everything(running)
        container.database.close()
        running.up()
        assert HumanLoopRequest.get(HumanLoopRequest.run_id == ids[2]).status == "open"
        answer(api, ids[2], "allow")
        assert_told(api, ended(ids[2]), "allow", "restarted\n")
