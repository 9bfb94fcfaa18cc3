"""Starting Claude Code, its readiness, and lines that are not what they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from app.domain.failure import FailureCode
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import Launch, ResumePoint, Step
from app.errors import Invalid
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.registry import build_registry

LAUNCH = Launch("run_1", "ses_1", 1, "hello", settings={"ANTHROPIC_API_KEY": "sk-1", "OPENAI_API_KEY": "sk-2"})


class Journal:
    """Records one after the other into a turn."""

    def __init__(self, launch: Launch = LAUNCH) -> None:
        self.turn = ClaudeCodeProvider().begin(launch)
        self.n = 0
        self.steps: list[Step] = []
        self.add("spawn", b"{}")

    def add(self, kind: Any, data: bytes, key: str | None = None) -> Step:
        self.n += 1
        step = self.turn.step(Record(self.n, 0.0, kind, data, key))
        self.steps.append(step)
        return step

    def out(self, **line: Any) -> Step:
        return self.add("out", orjson.dumps(line))

    def control(self, **control: Any) -> Step:
        return self.add("ctl", orjson.dumps(control))

    def ask(self, request_id: str, tool: str = "Bash") -> Step:
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": {"command": "ls"}, "tool_use_id": "t1"}
        return self.out(type="control_request", request_id=request_id, request=request)

    def types(self) -> list[str]:
        return [event[0] for step in self.steps for event in step.events]


def request_of(step: Step) -> str:
    (event,) = step.events
    return str(event[1]["requestId"])


# --- starting


def test_only_its_own_settings_reach_the_agent_and_keys_are_named_secret() -> None:
    command = ClaudeCodeProvider().command(LAUNCH)
    assert command.env["ANTHROPIC_API_KEY"] == "sk-1"
    assert "OPENAI_API_KEY" not in command.env
    assert command.secrets == ("ANTHROPIC_API_KEY",)
    assert command.env["CLAUDE_CONFIG_DIR"] == "/home/agent/.claude"


def test_no_bypass_and_no_setting_of_the_repository() -> None:
    argv = ClaudeCodeProvider().command(LAUNCH).argv
    assert "--permission-mode=default" in argv
    assert "--setting-sources=" in argv
    assert "--strict-mcp-config" in argv
    assert not [argument for argument in argv if "skip-permissions" in argument or "bypass" in argument]


def test_a_value_that_looks_like_a_flag_stays_a_value() -> None:
    launch = Launch("run_1", "ses_1", 1, "x", model="--dangerously-skip-permissions", resume=ResumePoint("--evil"))
    argv = ClaudeCodeProvider().command(launch).argv
    assert "--model=--dangerously-skip-permissions" in argv
    assert "--resume=--evil" in argv


def test_a_fresh_conversation_has_an_id_of_its_attempt() -> None:
    def id_of(launch: Launch) -> str:
        (told,) = [arg for arg in ClaudeCodeProvider().command(launch).argv if arg.startswith("--session-id=")]
        return told

    second = Launch("run_1", "ses_1", 2, "hello")
    assert id_of(LAUNCH) == id_of(LAUNCH)
    assert id_of(LAUNCH) != id_of(second)


def test_the_model_comes_from_the_run_then_from_the_settings() -> None:
    provider = ClaudeCodeProvider()
    assert provider.model("a", {"ANTHROPIC_MODEL": "b"}) == "a"
    assert provider.model(None, {"ANTHROPIC_MODEL": "b"}) == "b"
    assert provider.model(None, {}) is None


# --- readiness


def fake_binary(folder: Path, script: str) -> ClaudeCodeProvider:
    binary = folder / "claude"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    return ClaudeCodeProvider(binary)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, None),
        ({"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080"}, None),
        ({}, FailureCode.AUTH_MISSING),
        ({"ANTHROPIC_API_KEY": ""}, FailureCode.AUTH_MISSING),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "localhost"}, FailureCode.SETUP_FAILED),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://[::1"}, FailureCode.SETUP_FAILED),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://host:99999"}, FailureCode.SETUP_FAILED),
    ],
)
def test_readiness_says_what_is_missing(tmp_path: Path, settings: dict[str, str], code: FailureCode | None) -> None:
    ready = fake_binary(tmp_path, "echo '9.9.9 (Claude Code)'").readiness(settings)
    assert ready.version == "9.9.9"
    assert (ready.failure.code if ready.failure else None) == code
    assert ready.failure is None or ready.failure.remedy


def test_a_binary_that_is_missing_or_broken_is_said_to_be(tmp_path: Path) -> None:
    missing = ClaudeCodeProvider(tmp_path / "nothing").readiness({"ANTHROPIC_API_KEY": "k"})
    assert not missing.installed
    assert missing.failure
    assert missing.failure.code is FailureCode.SETUP_FAILED
    broken = fake_binary(tmp_path, "exit 1").readiness({"ANTHROPIC_API_KEY": "k"})
    assert broken.installed
    assert broken.failure
    assert "does not start" in broken.failure.message


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Invalid) as caught:
        build_registry("real", {}).get("gpt-9")
    assert caught.value.code == "provider_unknown"
    assert "claude-code" in str(caught.value.remedy)


def test_scripted_mode_routes_every_kind_to_the_scripted_agent() -> None:
    real, scripted = build_registry("real", {}), build_registry("scripted", {})
    assert [provider.kind for provider in scripted.list()] == [provider.kind for provider in real.list()]
    commands = {tuple(provider.command(LAUNCH).argv) for provider in scripted.list()}
    assert len(commands) == 1


# --- lines and answers that come wrong


def test_rubbish_is_one_warning_and_no_crash() -> None:
    journal = Journal()
    rubbish = [
        b"not json",
        b"[1]",
        b'"text"',
        b"{}",
        b'{"type":"assistant"}',
        b'{"type":"stream_event","event":{"type":1}}',
    ]
    for data in [*rubbish, b'{"type":"from_the_future"}', b'{"type":"user","message":{"content":[1]}}', b"\xff"]:
        journal.add("out", data)
    assert journal.types() == ["run.warning"]


def test_a_cut_line_is_a_warning() -> None:
    step = Journal().add("cut", b'{"size":20000000,"sha256":"x","stream":"out"}')
    assert step.events[0][1]["code"] == "output_cut"


def test_an_answer_counts_once_and_only_while_the_request_is_open() -> None:
    journal = Journal()
    journal.ask("r1")
    request_id = request_of(journal.control(type="verdict", requestId="r1", verdict="ask", rule="effects"))
    first = journal.control(type="answer", requestId=request_id, decision="allow", by="usr_a", delivery="live")
    again = journal.control(type="answer", requestId=request_id, decision="deny", by="usr_b", delivery="live")
    assert [event[1]["outcome"] for event in first.events] == ["answered"]
    assert (again.events, again.intents) == ((), ())


def test_a_request_that_the_agent_withdraws_is_superseded() -> None:
    journal = Journal()
    journal.ask("r1")
    request_id = request_of(journal.control(type="verdict", requestId="r1", verdict="ask", rule=None))
    withdrawn = journal.out(type="control_cancel_request", request_id="r1")
    assert withdrawn.events[0][1] == {
        "requestId": request_id,
        "outcome": "superseded",
        "by": None,
        "reply": None,
        "delivery": "live",
    }
    late = journal.control(type="answer", requestId=request_id, decision="allow", by="usr_a")
    assert (late.events, late.intents) == ((), ())


def test_a_verdict_for_a_withdrawn_request_changes_nothing() -> None:
    journal = Journal()
    journal.ask("r1")
    journal.out(type="control_cancel_request", request_id="r1")
    late = journal.control(type="verdict", requestId="r1", verdict="ask", rule=None)
    assert (late.events, late.intents) == ((), ())


def test_a_denial_of_the_policy_holds_after_allow_always() -> None:
    journal = Journal()
    journal.ask("r1")
    request_id = request_of(journal.control(type="verdict", requestId="r1", verdict="ask", rule=None))
    journal.control(type="answer", requestId=request_id, decision="allow_always", by="usr_a")
    journal.ask("r2")
    (denied,) = journal.control(type="verdict", requestId="r2", verdict="deny", rule="no rm").intents
    assert b'"behavior":"deny"' in denied.line  # type: ignore[union-attr]
    journal.ask("r3")
    (allowed,) = journal.control(type="verdict", requestId="r3", verdict="ask", rule=None).intents
    assert b'"behavior":"allow"' in allowed.line  # type: ignore[union-attr]


def test_an_unreadable_verdict_denies() -> None:
    journal = Journal()
    journal.ask("r1")
    (denied,) = journal.control(type="verdict", requestId="r1", verdict="perhaps", rule=None).intents
    assert b'"behavior":"deny"' in denied.line  # type: ignore[union-attr]


def test_a_control_request_that_is_not_served_is_refused() -> None:
    (refused,) = Journal().out(type="control_request", request_id="r9", request={"subtype": "mcp_message"}).intents
    assert b'"subtype":"error"' in refused.line  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("how", "words", "stopped", "status", "code"),
    [
        ("code:1", "", False, RunStatus.FAILED, FailureCode.PROVIDER_NO_OUTPUT),
        ("code:1", "Invalid API key", False, RunStatus.FAILED, FailureCode.AUTH_MISSING),
        ("executor_lost", "", False, RunStatus.FAILED, FailureCode.SANDBOX_LOST),
        ("spawn_failed: no such file", "", False, RunStatus.FAILED, FailureCode.SETUP_FAILED),
        ("signal:9", "", True, RunStatus.CANCELED, None),
    ],
)
def test_a_death_is_classified(
    how: str, words: str, stopped: bool, status: RunStatus, code: FailureCode | None
) -> None:
    journal = Journal()
    if words:
        journal.add("err", words.encode())
    if stopped:
        journal.control(type="stop", by=None, reason="")
    outcome = journal.add("exit", orjson.dumps({"exit": how})).outcome
    assert outcome
    assert outcome.status is status
    assert (outcome.failure.code if outcome.failure else None) == code


def test_a_text_that_was_not_streamed_is_one_delta_and_its_stop() -> None:
    journal = Journal()
    content = [{"type": "text", "text": "whole"}]
    step = journal.out(type="assistant", message={"content": content}, parent_tool_use_id=None)
    assert [event[0] for event in step.events] == ["message.delta", "message.stop"]
    assert [event[1]["text"] for event in step.events] == ["whole", "whole"]


def test_usage_of_a_resumed_conversation_is_that_of_this_attempt() -> None:
    journal = Journal(Launch("run_1", "ses_1", 1, "x", resume=ResumePoint("c")))

    def models(calls: int) -> dict[str, Any]:
        return {"m": {"inputTokens": 100 * calls, "outputTokens": 10 * calls, "cacheCreationInputTokens": 5 * calls}}

    session = {"total_cost_usd": 0.5, "model_usage": models(3)}
    answer = {"subtype": "success", "request_id": "paddock:1:usage:1", "response": {"session": session}}
    journal.out(type="control_response", response=answer)
    step = journal.out(type="result", subtype="success", modelUsage=models(4), total_cost_usd=0.75, is_error=False)
    assert step.events[0][1] == {
        "input": 100,
        "output": 10,
        "cacheRead": 0,
        "cacheWrite5m": 5,
        "cacheWrite1h": 0,
        "reasoning": 0,
        "costUsd": 0.25,
    }
