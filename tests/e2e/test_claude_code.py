"""Claude Code's own binary through the command line and the API of a whole installation: memory whatever became of the sandbox,
answers from elsewhere, stops, outcomes, and what the log and its other wire forms hold."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from executor import processes as executor_processes
from tests.support import processes
from tests.support.model_server import ModelServer
from tests.support.stack import COMMAND, KEY, Stack, claude_code, envelopes, stack
from tests.support.terminal import TerminalSession, at_terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_agent

RUN = ("run", "--provider", "claude-code")


@pytest.fixture(scope="module")
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def running(model: ModelServer) -> Iterator[Stack]:
    settings = {"PADDOCK_WEB_PROCESSES": "1", "PADDOCK_WORKER_PROCESSES": "1", "PADDOCK_STOP_GRACE_SECONDS": "2"}
    settings["CLAUDE_CODE_MAX_RETRIES"] = "1"  # a refused key is told sooner
    with stack({**settings, **claude_code(model)}) as started:
        yield started


@pytest.fixture
def api(running: Stack) -> Iterator[httpx.Client]:
    with running.client() as client:
        yield client


def terminal(running: Stack, *words: str) -> contextlib.AbstractContextManager[TerminalSession]:
    return at_terminal([*COMMAND, *RUN, *words], {**running.environment, "TERM": "xterm", "COLUMNS": "160"})


def post(api: httpx.Client, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    return api.post(path, json=body or {}, headers={"Idempotency-Key": uuid.uuid4().hex})


def send(api: httpx.Client, prompt: str, **body: Any) -> dict[str, Any]:
    """Send a message and return the run as it ended."""
    given = {"provider": "claude-code", "prompt": prompt, "timeoutMs": 60_000, **body}
    answer = post(api, "/api/runs/start", given)
    assert answer.status_code == 200, answer.text
    run: dict[str, Any] = answer.json()
    return run


def log_of(api: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"/api/runs/{run_id}/events", params={"limit": 500}).json()["items"]
    return items


def data_of(log: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event["data"] for event in log if event["type"] == kind]


def run_id_shown(session: TerminalSession) -> str:
    session.expect(" in ses_")
    return next(word for word in session.text.split() if word.startswith("run_"))


# --- memory --------------------------------------------------------------------------------------------------------------------


def left_alone(_running: Stack, _api: httpx.Client, _session_id: str) -> None:
    """The sandbox goes on."""


def stopped(_running: Stack, api: httpx.Client, session_id: str) -> None:
    assert post(api, f"/api/session-workers/{session_id}/stop").json()["status"] == "stopped"


def stopped_and_deleted(running: Stack, api: httpx.Client, session_id: str) -> None:
    stopped(running, api, session_id)
    shutil.rmtree(running.var / "sandboxes" / session_id)


def executor_killed(running: Stack, _api: httpx.Client, session_id: str) -> None:
    os.kill(sandbox_pids(running, session_id)[1], signal.SIGKILL)


def deleted_while_it_runs(running: Stack, _api: httpx.Client, session_id: str) -> None:
    shutil.rmtree(running.var / "sandboxes" / session_id)


def sandbox_pids(running: Stack, session_id: str) -> tuple[int, int]:
    found = json.loads((running.var / "sandboxes" / session_id / "sandbox.json").read_text())
    return found["pid"], found["executor_pid"]


def test_a_session_remembers_and_keeps_its_files_whatever_became_of_its_sandbox(
    running: Stack, api: httpx.Client
) -> None:
    first = send(
        api, "The password is heliotrope. [[write:kept.txt:still here]]", providerOptions={"approval": "edits"}
    )
    session_id = first["sessionId"]
    for fate in (left_alone, stopped, stopped_and_deleted, executor_killed, deleted_while_it_runs):
        before = sandbox_pids(running, session_id)
        fate(running, api, session_id)
        again = send(api, "[[recall]][[read:kept.txt]]", sessionId=session_id)
        assert again["status"] == "succeeded", (fate, again)
        log = log_of(api, again["runId"])
        assert [data["mode"] for data in data_of(log, "context.restored")] == ["native_resume"], fate
        assert "heliotrope" in json.dumps(data_of(log, "message.stop")), fate
        assert "still here" in json.dumps(data_of(log, "tool.result")), fate
        if fate is not left_alone:  # one whose folder is gone finds that out by itself
            eventually(lambda pids=before: not any(map(processes.is_alive, pids)), 15, what=f"{fate.__name__}: it ends")


# --- people ------------------------------------------------------------------------------------------------------------------


def test_an_answer_from_elsewhere_lets_the_terminal_go_on(running: Stack, api: httpx.Client) -> None:
    with terminal(running, "[[bash:touch made-elsewhere.txt]]") as session:
        session.expect("Allow?")
        (item,) = api.get("/api/human-loop/pending", params={"runId": run_id_shown(session)}).json()["items"]
        assert item["toolCall"]["input"]["command"] == "touch made-elsewhere.txt"
        body = {"requestId": item["requestId"], "decision": "allow"}
        assert post(api, "/api/human-loop/reply", body).json()["duplicate"] is False
        session.expect("succeeded")
        assert session.wait() == 0
        session_id = next(word for word in session.text.split() if word.startswith("ses_"))
    assert post(api, "/api/human-loop/reply", {**body, "decision": "deny"}).json()["duplicate"] is True
    assert "made-elsewhere.txt" in running.paddock("files", session_id).stdout


def test_a_denial_is_told_to_the_model_and_nothing_is_written(running: Stack, model: ModelServer) -> None:
    with terminal(running, "[[write:never.txt:x]][[text:As you wish.]]") as session:
        session.expect("Allow?")
        session.type("n the quiet folder is taken")
        session.expect("As you wish.")
        assert session.wait() == 0
        session_id = next(word for word in session.text.split() if word.startswith("ses_"))
    assert "the quiet folder is taken" in json.dumps(model.calls[-1].body)
    assert "never.txt" not in running.paddock("files", session_id).stdout


def test_ctrl_c_stops_the_agent_and_the_session_goes_on(running: Stack, api: httpx.Client) -> None:
    with terminal(running, "The door is blue. [[slow:600:100]]") as session:
        session.expect("word3")
        run_id = run_id_shown(session)
        session.interrupt()
        session.expect("stopping the run")
        assert session.wait() == 3
    stopped_run = api.get(f"/api/runs/{run_id}").json()
    assert stopped_run["status"] == "canceled"
    again = send(api, "[[recall]]", sessionId=stopped_run["sessionId"])
    assert "The door is blue" in again["message"]


def test_a_message_that_interrupts_ends_the_one_before_and_is_worked_on(
    running: Stack, api: httpx.Client, model: ModelServer
) -> None:
    with terminal(running, "[[slow:600:100]]") as session:
        session.expect("word3")
        run_id = run_id_shown(session)
        session_id = api.get(f"/api/runs/{run_id}").json()["sessionId"]
        second = send(api, "[[text:At once.]]", sessionId=session_id, onBusy="interrupt")
        assert session.wait() == 3
    assert (second["status"], second["message"]) == ("succeeded", "At once.")


@pytest.mark.parametrize(
    ("prompt", "words", "code", "shown"),
    [
        ("[[bash:touch b.txt]][[write:a.txt:x]]", ["--allow-all"], 0, "succeeded"),
        ("[[error:401]]", [], 1, "auth_missing"),
        ("hello", ["--require", "images"], 4, "capability_missing"),
    ],
)
def test_the_exit_code_tells_the_outcome(running: Stack, prompt: str, words: list[str], code: int, shown: str) -> None:
    done = running.paddock(*RUN, *words, prompt)
    assert done.returncode == code, done.stdout + done.stderr
    assert shown in done.stdout
    assert ("→ " in done.stdout) == (code != 0)


# --- what is told ------------------------------------------------------------------------------------------------------------


def test_the_key_reaches_the_agent_and_never_the_log(running: Stack, model: ModelServer) -> None:
    done = running.paddock(*RUN, "--allow-all", "--json", "[[bash:env; echo $ANTHROPIC_API_KEY]]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ANTHROPIC_BASE_URL" in done.stdout  # it did print its environment
    assert model.calls[-1].key == KEY
    everything = done.stdout + "".join(running.log(path.stem) for path in (running.var / "logs").glob("*.log"))
    assert KEY not in everything


def test_usage_and_the_text_are_whole_and_the_ui_stream_tells_the_same(running: Stack, api: httpx.Client) -> None:
    run = send(api, "[[think:Let me see.]][[slow:12:5]][[todo]][[text:Größer — 完成.]]")
    log = log_of(api, run["runId"])
    assert [event["seq"] for event in log] == list(range(1, run["lastSeq"] + 1))
    (finished,) = data_of(log, "run.finished")
    assert finished["usage"] == data_of(log, "usage.update")[-1] == run["usage"]
    assert run["usage"]["input"] > 0
    assert run["usage"]["output"] > 0
    assert run["usage"]["costUsd"] > 0
    texts = [data["text"] for data in data_of(log, "message.stop")]
    assert texts[-1] == run["message"] == "Größer — 完成."
    assert "".join(data["text"] for data in data_of(log, "message.delta")) == "".join(texts)
    assert {todo["status"] for todo in data_of(log, "todo.update")[-1]["todos"]} == {"completed", "pending"}
    answer = api.get(f"/api/runs/{run['runId']}/stream", params={"format": "ui-message"})
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert (chunks[0]["type"], chunks[-1]["type"]) == ("start", "finish")
    assert "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "text-delta") == "".join(texts)
    assert "Let me see." in "".join(chunk["delta"] for chunk in chunks if chunk["type"] == "reasoning-delta")


def test_the_stream_in_redis_reads_like_a_log(running: Stack) -> None:
    done = running.paddock(*RUN, "--allow-all", "--json", "[[write:a.txt:x]][[text:Ready.]]")
    events = envelopes(done.stdout)
    shown = running.paddock("redis-cli", "XRANGE", f"paddock:run:{events[0]['runId']}:events", "-", "+").stdout
    entries = [word for word in shown.replace('"', " ").split() if word.startswith("1-") and word[2:].isdigit()]
    assert entries == [f"1-{seq}" for seq in range(len(events) + 1)]  # the lease's marker, then every event
    for event in events:
        assert f'"{event["type"]}"' in shown
    for words in ("lease", "Ready.", "a.txt", "succeeded"):
        assert words in shown


def test_agents_end_with_their_turns(running: Stack) -> None:
    """What goes on in the sandboxes is executors alone."""
    with running.opened() as container:
        executors = {sandbox_pids(running, name)[1] for name in container.sandboxes.list_running()}
    assert executors

    def agents() -> set[int]:
        table = executor_processes.table()
        return executor_processes.descendants(table, executors) - executors

    eventually(lambda: not agents(), what="the agents' end")
