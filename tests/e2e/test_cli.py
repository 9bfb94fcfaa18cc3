"""The command line client against a whole installation: outcomes, asking at a terminal, Ctrl-C, reconnecting, errors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import COMMAND, Stack, envelopes, stack
from tests.support.terminal import TerminalSession, at_terminal
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with stack({"PADDOCK_STOP_GRACE_SECONDS": "1"}) as started:
        yield started


def scripted(prompt: str, *words: str) -> list[str]:
    return ["run", "--provider", "scripted", *words, prompt]


def terminal(running: Stack, *words: str):  # type: ignore[no-untyped-def]
    return at_terminal([*COMMAND, *words], {**running.environment, "TERM": "xterm", "COLUMNS": "160"})


def status_of(running: Stack, run_id: str) -> str:
    with running.client() as client:
        return str(client.get(f"/api/runs/{run_id}").json()["status"])


def waits(running: Stack, run_id: str) -> None:
    eventually(lambda: status_of(running, run_id) == "waiting_human", what="the run to wait for a person")


def detached(running: Stack, prompt: str) -> str:
    done = running.paddock(*scripted(prompt, "--detach", "--json"))
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["runId"])


def run_id_shown(session: TerminalSession) -> str:
    session.expect(" in ses_")
    return next(word for word in session.text.split() if word.startswith("run_"))


@pytest.mark.parametrize(
    ("prompt", "words", "code"),
    [
        ("/say fine", [], 0),
        ("/fail agent_error", [], 1),
        ("/say x", ["--require", "images"], 4),
    ],
)
def test_the_exit_code_tells_the_outcome(running: Stack, prompt: str, words: list[str], code: int) -> None:
    done = running.paddock(*scripted(prompt, *words))
    assert done.returncode == code, done.stdout + done.stderr


def test_a_failure_names_its_code_and_a_remedy(running: Stack) -> None:
    done = running.paddock(*scripted("/fail agent_error"))
    assert "agent_error" in done.stdout
    assert "→ " in done.stdout


def test_an_approval_is_asked_at_the_terminal_and_allow_lets_it_happen(running: Stack) -> None:
    with terminal(running, *scripted("/write made.txt by hand")) as session:
        session.expect("Allow?")
        assert "made.txt" in session.text
        session.type("y")
        session.expect("succeeded")
        assert session.wait() == 0
        session_id = next(word for word in session.text.split() if word.startswith("ses_"))
    assert running.paddock("files", session_id, "made.txt").stdout.startswith("by hand")
    assert "made.txt" in running.paddock("files", session_id).stdout


def test_a_denial_reaches_the_agent_with_its_reason(running: Stack) -> None:
    with terminal(running, *scripted("/run touch /workspace/never")) as session:
        session.expect("Allow?")
        session.type("what?")
        session.expect("Type y")
        session.type("n not today")
        session.expect("denied")
        session.wait()


@pytest.mark.parametrize(
    ("prompt", "asked", "answer"),
    [("/write a.txt x", "Allow?", "allow"), ("/ask Which? | red | blue", "Number", "red")],
)
def test_after_ctrl_d_the_request_stays_open_and_is_answered_from_elsewhere(
    running: Stack, prompt: str, asked: str, answer: str
) -> None:
    with terminal(running, *scripted(prompt)) as session:
        session.expect(asked)
        session.end_input()
        session.expect("the request stays open")
        session.expect("paddock reply hlr_")
        request_id = next(word for word in session.text.split() if word.startswith("hlr_"))
        session.type("y")
        session.expect("not taken as an answer")
        assert status_of(running, run_id_shown(session)) == "waiting_human"
        assert running.paddock("reply", request_id, answer).returncode == 0
        session.expect("succeeded")
        assert session.wait() == 0


def test_ctrl_c_still_stops_the_run_after_ctrl_d(running: Stack) -> None:
    with terminal(running, *scripted("/write a.txt x")) as session:
        session.expect("Allow?")
        session.end_input()
        session.expect("the request stays open")
        session.interrupt()
        session.expect("canceled")
        assert session.wait() != 0


def test_a_question_is_answered_by_a_number(running: Stack) -> None:
    with terminal(running, *scripted("/ask Which color? | red | blue")) as session:
        session.expect("2. blue")
        session.type("2")
        session.expect("You answered: blue")
        assert session.wait() == 0


def test_edits_are_not_asked_with_allow_edits_and_nothing_with_allow_all(running: Stack) -> None:
    assert running.paddock(*scripted("/write a.txt x", "--allow-edits")).returncode == 0
    assert running.paddock(*scripted("/run touch b.txt", "--allow-all")).returncode == 0


def test_without_a_terminal_nothing_is_answered_by_itself_and_another_may_answer(running: Stack) -> None:
    argv = [*COMMAND, *scripted("/ask Name? | Ada")]
    with subprocess.Popen(
        argv, env=running.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as asker:
        assert asker.stdin is not None
        assert asker.stdout is not None
        asker.stdin.write("1\n")
        asker.stdin.flush()
        line = next(line for line in asker.stdout if "paddock reply" in line)
        request_id = next(word for word in line.split() if word.startswith("hlr_"))
        assert request_id in running.paddock("pending").stdout
        assert running.paddock("reply", request_id, "Grace").returncode == 0
        rest = asker.stdout.read()
        assert asker.wait(timeout=60) == 0
    assert "You answered: Grace" in rest
    again = json.loads(running.paddock("reply", request_id, "--json", "deny").stdout or "{}")
    assert again.get("duplicate", True)


def test_ctrl_c_stops_the_run(running: Stack) -> None:
    with terminal(running, *scripted("/slow 600 100")) as session:
        run_id = run_id_shown(session)
        eventually(lambda: status_of(running, run_id) == "running")
        session.interrupt()
        session.expect("stopping the run")
        assert session.wait() == 3
    assert status_of(running, run_id) == "canceled"


def test_a_second_ctrl_c_lets_go_and_the_run_can_be_tailed(running: Stack) -> None:
    with terminal(running, *scripted("/deaf\n/sleep 600")) as session:
        run_id = run_id_shown(session)
        eventually(lambda: status_of(running, run_id) == "running")
        session.interrupt()
        session.expect("stopping the run")
        session.interrupt()
        assert session.wait() == 130
        assert f"paddock tail {run_id}" in session.text
    assert running.paddock("tail", run_id).returncode == 3


def test_the_stream_goes_on_over_a_killed_web(running: Stack) -> None:
    argv = [*COMMAND, *scripted("/slow 60 100", "--json")]
    with subprocess.Popen(argv, env=running.environment, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        lines = []
        for line in client.stdout:
            lines.append(line)
            if len(lines) == 10:
                running.restart("web")
        assert client.wait(timeout=60) == 0
    events = envelopes("".join(lines))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    whole = next(event["data"]["text"] for event in events if event["type"] == "message.stop")
    assert "".join(event["data"]["text"] for event in events if event["type"] == "message.delta") == whole


def test_a_detached_run_can_be_listed_explained_and_stopped(running: Stack) -> None:
    run_id = detached(running, "/approve Go on?")
    waits(running, run_id)
    assert run_id in running.paddock("runs", "--status", "waiting_human").stdout
    explained = running.paddock("explain", run_id).stdout
    assert "waiting_human" in explained
    assert running.paddock("stop", run_id).returncode == 0
    assert running.paddock("tail", run_id).returncode == 3


def test_a_repository_of_this_machine_seeds_the_session_and_the_diff_shows_what_changed(
    running: Stack, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    subprocess.run(["git", "init", "-q", "-b", "main", str(project)], check=True)
    (project / "a.txt").write_text("one\n")
    git = ["git", "-C", str(project), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    done = running.paddock(*scripted("/read a.txt\n/write a.txt two", "--repo", str(project), "--allow-edits"))
    assert done.returncode == 0, done.stdout + done.stderr
    session_id = next(word for word in done.stdout.split() if word.startswith("ses_"))
    diff = running.paddock("diff", session_id).stdout
    assert "-one" in diff
    assert "+two" in diff
    assert session_id in running.paddock("sessions").stdout


def test_a_second_message_in_the_same_session_remembers_the_first(running: Stack) -> None:
    first = running.paddock(*scripted("/remember the number 42"))
    session_id = next(word for word in first.stdout.split() if word.startswith("ses_"))
    second = running.paddock(*scripted("/recall", "--session", session_id))
    assert "the number 42" in second.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--provider", "nobody", "x"], "nobody"),
        (["tail", "run_doesnotexist"], "no such run"),
        (["run", "--session", "ses_doesnotexist", "x"], "no such session"),
        (["run", "--provider", "scripted", "--repo", "/no/such/repo", "x"], "not a git repository"),
        (["run", "--provider", "scripted", "--repo", "http://localhost/x.git", "x"], ""),
        (["reply", "hlr_doesnotexist", "allow"], "no such"),
        (["files", "ses_doesnotexist"], "no such session"),
    ],
)
def test_what_cannot_be_done_is_told_with_a_remedy(running: Stack, words: list[str], expected: str) -> None:
    done = running.paddock(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert expected in done.stderr
    assert "→ " in done.stderr


def test_a_token_opens_the_api_until_it_is_revoked(running: Stack) -> None:
    made = json.loads(running.paddock("token", "create", "laptop", "--json").stdout)
    elsewhere = {"PADDOCK_URL": running.url, "PADDOCK_TOKEN": made["token"]}
    assert running.paddock("runs", env=elsewhere).returncode == 0
    assert "laptop" in running.paddock("token", "list").stdout
    assert made["token"] not in running.paddock("token", "list", "--json").stdout
    assert running.paddock("token", "revoke", made["tokenId"]).returncode == 0
    refused = running.paddock("runs", env=elsewhere)
    assert refused.returncode == 2
    assert "→ " in refused.stderr


def test_providers_doctor_and_login_link_answer(running: Stack) -> None:
    assert "scripted" in running.paddock("providers").stdout
    doctor = running.paddock("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert running.paddock("login-link").stdout.startswith(running.url)
