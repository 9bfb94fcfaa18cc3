"""`paddock stress` against a whole installation: the scripted provider, a real agent, a server that dies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_server import ModelServer
from tests.support.stack import COMMAND, Stack, claude_code, stack
from tests.support.waiting import eventually

PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with ModelServer() as model:
        settings = {"CLAUDE_CODE_MAX_RETRIES": "1", "PADDOCK_STOP_GRACE_SECONDS": "1", "PADDOCK_HEARTBEAT_SECONDS": "1"}
        with stack({**claude_code(model), **settings}) as started:
            yield started


def stress(running: Stack, *words: str) -> tuple[int, dict[str, Any]]:
    done = running.paddock("stress", *words, "--json")
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def outcomes(report: dict[str, Any]) -> dict[str, int]:
    return {name: count for name, count in report["summary"]["outcomes"].items() if count}


def open_runs(running: Stack) -> list[str]:
    """Return the ids of the runs that have begun and not ended."""
    with running.client() as client:
        items = client.get("/api/runs", params={"status": "running"}).json()["items"]
    return [item["runId"] for item in items]


def test_runs_that_succeed_are_told_as_they_end_and_reported_twice(running: Stack) -> None:
    done = running.paddock("stress", "--provider", "scripted", "--iterations", "3", "--concurrency", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scripted: ready" in done.stdout
    assert [f"{number}/3" in done.stdout for number in (1, 2, 3)] == [True, True, True]
    assert "3 of 3 runs succeeded (100%)" in done.stdout
    (told,) = (running.var / "reports").glob("stress-scripted-*.json")
    report = json.loads(told.read_text())
    assert (outcomes(report), report["summary"]["successRate"]) == ({"succeeded": 3}, 1.0)
    assert report["trial"]["outcome"] == "succeeded"
    assert len({run["sessionId"] for run in report["runs"]}) == 3
    assert report["fallbackProbe"] is None
    assert "3 of 3 runs succeeded" in told.with_suffix(".md").read_text()


def test_failures_are_classed_gate_only_when_strict_and_leave_their_logs(running: Stack) -> None:
    words = ["--provider", "scripted", "--prompt", "/fail model_invalid"]
    code, report = stress(running, *words, "--iterations", "2")
    assert (code, outcomes(report)) == (0, {"failed": 2})
    (only,) = report["summary"]["failureClasses"]
    assert (only["failureClass"], only["count"]) == ("model_invalid", 2)
    assert "model" in only["suggestion"].lower()
    folder = Path(report["report"]["json"]).parent
    events = [json.loads(line) for line in (folder / report["runs"][0]["log"]).read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "run.closed"
    code, report = stress(running, *words, "--iterations", "1", "--strict", "--success-rate-threshold", "0.5")
    assert (code, report["gate"]) == (1, {"strict": True, "passed": False})


def test_a_run_that_takes_too_long_is_stopped(running: Stack) -> None:
    _, report = stress(running, "-p", "scripted", "-n", "1", "--timeout", "1", "--prompt", "/sleep 600")
    assert outcomes(report) == {"incomplete": 1}
    assert report["summary"]["failureClasses"][0]["failureClass"] == "timed_out"
    assert open_runs(running) == []


def test_one_that_is_stopped_was_canceled_and_one_whose_server_dies_had_a_transport_error(running: Stack) -> None:
    words = ["stress", "-p", "scripted", "-n", "2", "--timeout", "300", "--prompt", "/say hello\n/sleep 600", "--json"]
    with subprocess.Popen([*COMMAND, *words], env=running.environment, stdout=subprocess.PIPE, text=True) as process:
        for _ in ("trial", "1/2"):
            stopped = running_one(running)
            assert running.paddock("stop", stopped).returncode == 0
            eventually(lambda run_id=stopped: run_id not in open_runs(running), what="the run to be stopped")
        cut = running_one(running)
        running.processes()["web"].kill_group()
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    report = json.loads(out)
    assert report["trial"]["outcome"] == "canceled"
    assert [run["outcome"] for run in report["runs"]] == ["canceled", "transport_error"]
    assert report["runs"][1]["runId"] == cut
    assert (Path(report["report"]["json"]).parent / report["runs"][1]["log"]).exists()
    running.wait_until_ready()
    running.paddock("stop", cut)  # web may have been away for longer than the client tries


def running_one(running: Stack) -> str:
    """Return the run that the agent is at work in."""

    def look() -> str | None:
        with running.client() as client:
            for run_id in open_runs(running):
                events = client.get(f"/api/runs/{run_id}/events").json()["items"]
                if any(event["type"] == "message.stop" for event in events):
                    return run_id
        return None

    return eventually(look, what="the agent to be at work")


def test_an_unknown_provider_is_refused(running: Stack) -> None:
    done = running.paddock("stress", "--provider", "nobody")
    assert done.returncode == 2
    assert "→" in done.stderr


def test_runs_that_wait_for_a_provider_that_fails_are_told_at_once(running: Stack) -> None:
    words = ["-p", "scripted", "--timeout", "300", "--prompt"]
    code, report = stress(running, *words, "/fail auth_missing", "-n", "6")
    assert (code, outcomes(report)) == (0, {"failed": 6})
    found = {each["failureClass"]: each["count"] for each in report["summary"]["failureClasses"]}
    assert found == {
        "auth_missing": 4,
        "provider_unavailable": 2,
    }  # the trial was the first of the five that open the breaker
    code, report = stress(running, *words, "/say hello", "-n", "2")
    held_back = [report["trial"], *report["runs"]]
    assert [(each["outcome"], each["failureClass"]) for each in held_back] == [("failed", "provider_unavailable")] * 3
    assert all(each["suggestion"] for each in held_back)
    assert open_runs(running) == []
    with running.client() as client:  # so that the tests that follow find a provider that works
        assert client.post("/api/providers/scripted/preflight", json={"trialCall": True}).json()["ok"]


@pytest.mark.real_agent
def test_a_real_agent_is_tried_and_the_fallback_tells_where_a_failure_lies(running: Stack) -> None:
    code, report = stress(running, "-p", "claude-code", "-n", "2", "--strict", "--prompt", "[[text:ready]]")
    assert (code, outcomes(report)) == (0, {"succeeded": 2})
    assert report["runs"][0]["usage"]["output"] > 0
    words = ["-p", "claude-code", "-n", "1", "--fallback", "scripted", "--prompt", "[[error:401]]"]
    code, report = stress(running, *words)
    assert (code, outcomes(report)) == (0, {"failed": 1})
    assert report["summary"]["failureClasses"][0]["failureClass"] == "auth_missing"
    assert (report["trial"]["outcome"], report["fallbackProbe"]["outcome"]) == ("failed", "succeeded")
    assert "`scripted` works here" in Path(report["report"]["markdown"]).read_text()
