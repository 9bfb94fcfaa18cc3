"""The main job from the command line: Claude Code's own binary in a session, against the scripted model server.

A person at a terminal allows, denies and answers; files, todos and usage come back; the session remembers after its sandbox
was stopped, removed, and its folder deleted.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_server import ModelServer
from tests.support.stack import COMMAND, Stack, claude_code, envelopes, stack
from tests.support.terminal import TerminalSession, at_terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.real_agent


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """Sandboxes are stopped and removed within seconds."""
    impatient = {
        "PADDOCK_IDLE_SECONDS": "3",
        "PADDOCK_REMOVE_AFTER_SECONDS": "1",
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_WEB_PROCESSES": "1",
    }
    with ModelServer() as model, stack({**impatient, **claude_code(model)}) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    (folder / "README.md").write_text("a project\n")
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    return folder


def terminal(running: Stack, *words: str):  # type: ignore[no-untyped-def]
    argv = [*COMMAND, "run", "--provider", "claude-code", *words]
    return at_terminal(argv, {**running.environment, "TERM": "xterm", "COLUMNS": "160"})


def session_shown(session: TerminalSession) -> str:
    return next(word for word in session.text.split() if word.startswith("ses_"))


def test_a_person_allows_denies_and_answers_and_the_files_come_back(running: Stack, project: Path) -> None:
    prompt = (
        "[[write:made.txt:by hand]][[bash:touch never.txt]][[ask:Which colour?|Red|Blue]][[todo]][[text:All done.]]"
    )
    with terminal(running, "--repo", str(project), prompt) as session:
        session.expect("Allow?")
        assert "made.txt" in session.text
        session.type("y")
        session.expect("touch never.txt")
        eventually(lambda: session.text.count("Allow?") == 2, what="the second approval")
        session.type("n leave it")
        session.expect("2. Blue")
        session.type("2")
        session.expect("All done.")
        session.expect("succeeded")
        assert session.wait() == 0, session.text
        shown, session_id = session.text, session_shown(session)
    assert "denied" in shown
    assert "Blue" in shown
    assert "✔" in shown
    assert "tokens in" in shown
    files = running.paddock("files", session_id).stdout
    assert "made.txt" in files
    assert "README.md" in files
    assert "never.txt" not in files
    assert running.paddock("files", session_id, "made.txt").stdout.startswith("by hand")
    assert "+by hand" in running.paddock("diff", session_id).stdout


def test_the_session_remembers_after_its_sandbox_was_stopped_removed_and_deleted(running: Stack) -> None:
    words = ("run", "--provider", "claude-code", "--json", "--allow-edits")
    first = running.paddock(*words, "The password is heliotrope. [[write:kept.txt:still here]]")
    assert first.returncode == 0, first.stdout + first.stderr
    session_id = str(envelopes(first.stdout)[0]["sessionId"])

    def removed() -> bool:
        with running.client() as client:
            return bool(client.get(f"/api/session-workers/{session_id}").json()["status"] == "deleted")

    eventually(removed, 60, what="the removal of the idle sandbox")
    assert not (running.var / "sandboxes" / session_id).exists()
    assert running.paddock("files", session_id, "kept.txt").stdout.startswith("still here")
    second = running.paddock(*words, "--session", session_id, "[[recall]][[read:kept.txt]]")
    assert second.returncode == 0, second.stdout + second.stderr
    events = envelopes(second.stdout)
    assert [event["data"]["mode"] for event in events if event["type"] == "context.restored"] == ["native_resume"]
    assert "heliotrope" in json.dumps([event["data"] for event in events if event["type"] == "message.stop"])
    assert "still here" in json.dumps([event["data"] for event in events if event["type"] == "tool.result"])


def test_edits_pass_unasked_with_allow_edits_and_commands_are_still_asked(running: Stack) -> None:
    with terminal(running, "--allow-edits", "[[write:a.txt:x]][[bash:touch b.txt]]") as session:
        session.expect("Allow?")
        assert "touch b.txt" in session.text
        session.type("y")
        session.expect("succeeded")
        assert session.wait() == 0
        assert session.text.count("Allow?") == 1


def test_a_wrong_model_fails_with_a_code_and_a_remedy(running: Stack) -> None:
    done = running.paddock("run", "--provider", "claude-code", "--model", "no-such-model", "hello")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "model_invalid" in done.stdout
    assert "→ " in done.stdout


def test_without_a_key_nothing_is_made_and_the_remedy_names_it() -> None:
    with stack({"PADDOCK_WEB_PROCESSES": "1", "PADDOCK_WORKER_PROCESSES": "1"}) as keyless:
        done = keyless.paddock("run", "--provider", "claude-code", "hello")
        assert done.returncode in (2, 4), done.stdout + done.stderr
        assert "ANTHROPIC_API_KEY" in done.stdout + done.stderr
        assert "PADDOCK" not in keyless.paddock("doctor").stderr
