"""The adapter of the Agent Client Protocol where no agent that we have goes: other agents, other forms, other settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.failure import FailureCode
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import CONTINUE_MESSAGE, Launch, ResumePoint, SendInput, Step
from app.providers.acp import AcpProvider
from app.providers.acp.forms import content_of, questions_of

OWN = {"command": "/usr/bin/env my-agent"}


class Conversation:
    """Steps the adapter with what an agent says."""

    def __init__(self, settings: dict[str, str] | None = None, **launch: Any) -> None:
        given = {"run_id": "run_1", "session_id": "ses_1", "attempt": 1, "prompt": "hello", **launch}
        self.turn = AcpProvider(settings or OWN).begin(Launch(**given))
        self.steps: list[Step] = []
        self.add("spawn", {})

    def add(self, kind: Any, told: Any) -> Step:
        self.steps.append(self.turn.step(Record(len(self.steps) + 1, 0.0, kind, json.dumps(told).encode())))
        return self.steps[-1]

    def answer(self, method: str, **result: Any) -> Step:
        return self.add("out", {"jsonrpc": "2.0", "id": f"{method}:1", "result": result})

    def ask(self, id_: Any, method: str, **params: Any) -> Step:
        return self.add("out", {"jsonrpc": "2.0", "id": id_, "method": method, "params": params})

    def update(self, name: str, **fields: Any) -> Step:
        params = {"sessionId": "s1", "update": {"sessionUpdate": name, **fields}}
        return self.add("out", {"jsonrpc": "2.0", "method": "session/update", "params": params})

    def prompt(self) -> Conversation:
        self.answer("initialize", protocolVersion=1, agentCapabilities={})
        self.answer("session/new", sessionId="s1")
        return self

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [
            json.loads(intent.line) for step in self.steps for intent in step.intents if isinstance(intent, SendInput)
        ]

    @property
    def events(self) -> list[tuple[str, Any]]:
        return [event for step in self.steps for event in step.events]


CALL = {"toolCallId": "t1", "title": "Run it", "kind": "execute", "rawInput": {"command": "ls"}}
ONCE = [{"optionId": "y", "kind": "allow_once"}, {"optionId": "n", "kind": "reject_once"}]


def verdict(request_id: str, verdict: str) -> dict[str, Any]:
    return {"type": "verdict", "requestId": request_id, "verdict": verdict, "rule": "test"}


def test_an_agent_that_cannot_load_conversations_makes_the_driver_start_a_fresh_one() -> None:
    talk = Conversation(resume=ResumePoint("s0"))
    step = talk.answer("initialize", protocolVersion=1, agentCapabilities={"loadSession": False})
    assert step.outcome is not None
    assert step.outcome.stop_reason == "resume_failed"


def test_an_agent_of_another_version_of_the_protocol_is_refused() -> None:
    step = Conversation().answer("initialize", protocolVersion=2)
    assert step.outcome is not None
    assert step.outcome.failure is not None
    assert step.outcome.failure.code is FailureCode.SETUP_FAILED


def test_a_mode_that_the_agent_does_not_have_fails_the_run() -> None:
    talk = Conversation({**OWN, "mode": "ask"})
    talk.answer("initialize", protocolVersion=1)
    step = talk.answer(
        "session/new", sessionId="s1", modes={"currentModeId": "yolo", "availableModes": [{"id": "yolo"}]}
    )
    assert step.outcome is not None
    assert step.outcome.status is RunStatus.FAILED
    assert all(line.get("method") != "session/prompt" for line in talk.sent)


def test_the_mode_is_set_before_the_prompt_and_set_back_when_it_changes() -> None:
    talk = Conversation({**OWN, "mode": "ask"})
    talk.answer("initialize", protocolVersion=1)
    modes = [{"id": "ask"}, {"id": "yolo"}]
    talk.answer("session/new", sessionId="s1", modes={"currentModeId": "yolo", "availableModes": modes})
    talk.answer("session/set_mode")
    talk.update("current_mode_update", currentModeId="yolo")
    methods = [line["method"] for line in talk.sent]
    assert methods == ["initialize", "session/new", "session/set_mode", "session/prompt", "session/set_mode"]
    assert talk.sent[-1]["params"]["modeId"] == "ask"


def test_a_model_that_the_agent_does_not_offer_fails_the_run() -> None:
    talk = Conversation(model="big")
    talk.answer("initialize", protocolVersion=1)
    option = {"id": "m", "category": "model", "options": [{"value": "small"}]}
    step = talk.answer("session/new", sessionId="s1", configOptions=[option])
    assert step.outcome is not None
    assert step.outcome.failure is not None
    assert step.outcome.failure.code is FailureCode.MODEL_INVALID


def test_a_permission_is_answered_by_the_kind_of_its_options() -> None:
    talk = Conversation().prompt()
    talk.ask(7, "session/request_permission", toolCall=CALL, options=list(reversed(ONCE)))
    talk.add("ctl", verdict("7", "allow"))
    assert talk.sent[-1] == {"jsonrpc": "2.0", "id": 7, "result": {"outcome": {"outcome": "selected", "optionId": "y"}}}


def test_what_could_only_be_allowed_for_ever_is_denied() -> None:
    talk = Conversation().prompt()
    options = [{"optionId": "all", "kind": "allow_always"}, ONCE[1]]
    talk.ask(7, "session/request_permission", toolCall=CALL, options=options)
    talk.add("ctl", verdict("7", "allow"))
    assert talk.sent[-1]["result"]["outcome"]["optionId"] == "n"
    assert [data["code"] for type_, data in talk.events if type_ == "run.warning"] == ["no_single_permission"]


def test_a_stop_withdraws_what_is_asked_and_cancels_the_turn() -> None:
    talk = Conversation().prompt()
    talk.ask(7, "session/request_permission", toolCall=CALL, options=ONCE)
    talk.add("ctl", {"type": "stop", "by": "usr_alice"})
    assert talk.sent[-2]["result"] == {"outcome": {"outcome": "cancelled"}}
    assert talk.sent[-1]["method"] == "session/cancel"
    step = talk.answer("session/prompt", stopReason="cancelled")
    assert step.outcome is not None
    assert step.outcome.status is RunStatus.CANCELED


def test_messages_end_where_something_else_begins() -> None:
    talk = Conversation().prompt()
    for kind, text in (("agent_message_chunk", "one "), ("agent_message_chunk", "two"), ("agent_thought_chunk", "hm")):
        talk.update(kind, content={"type": "text", "text": text})
    talk.update("tool_call", **CALL, status="in_progress")
    talk.update("agent_message_chunk", content={"type": "text", "text": "three"})
    talk.answer("session/prompt", stopReason="end_turn")
    types = [type_ for type_, _ in talk.events if not type_.endswith("delta")]
    assert types == ["message.stop", "thinking.stop", "tool.call", "message.stop", "tool.result"]


@pytest.mark.parametrize(
    ("attempt", "replayed", "sent"),
    [
        (1, ["hello"], "hello"),
        (2, ["other"], "hello"),
        (2, ["other", "hello"], CONTINUE_MESSAGE),
        (3, ["hello", CONTINUE_MESSAGE], CONTINUE_MESSAGE),
        (2, ["hello", "a steer"], CONTINUE_MESSAGE),
    ],
)
def test_the_prompt_is_sent_unless_an_earlier_attempt_has_sent_it(attempt: int, replayed: list[str], sent: str) -> None:
    talk = Conversation(attempt=attempt, resume=ResumePoint("s1"))
    talk.add(
        "out",
        {"id": f"initialize:{attempt}", "result": {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}},
    )
    for text in replayed:
        talk.update("user_message_chunk", content={"type": "text", "text": text})
        talk.update("agent_message_chunk", content={"type": "text", "text": "fine"})
    talk.add("out", {"id": f"session/load:{attempt}", "result": {}})
    assert talk.sent[-1]["params"]["prompt"] == [{"type": "text", "text": sent}]
    assert talk.events == []


def test_a_form_becomes_questions_and_their_answers_its_content() -> None:
    properties = {
        "colour": {
            "type": "string",
            "title": "Colour",
            "oneOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}],
        },
        "colour_custom": {"type": "string"},
        "sizes": {"type": "array", "items": {"enum": ["S", "M"]}},
        "count": {"type": "integer", "description": "How many?"},
        "sure": {"type": "boolean"},
    }
    params = {"mode": "form", "message": "Choose", "requestedSchema": {"type": "object", "properties": properties}}
    questions = questions_of(params)
    assert [question["id"] for question in questions] == ["colour", "sizes", "count", "sure"]
    assert [option["label"] for option in questions[0]["options"]] == ["Red", "Blue"]
    assert questions[1]["multiple"] is True
    answers = {"colour": ["Blue"], "sizes": ["S", "M"], "count": ["3"], "sure": ["Yes"]}
    assert content_of(params, answers) == {"colour": "b", "sizes": ["S", "M"], "count": 3, "sure": True}
    assert content_of(params, {"colour": ["Green"]}) == {"colour_custom": "Green"}


def test_agents_that_cannot_be_kept_to_the_policy_are_refused_by_name() -> None:
    for command, other in (("codex-acp", "codex-cli"), ("opencode", "opencode")):
        failure = AcpProvider({"command": command}).readiness({}).failure
        assert failure is not None
        assert f"provider {other}" in failure.message


def test_a_command_is_shown_where_it_is_and_gets_the_keys_as_secrets(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    provider = AcpProvider({"command": f"{program} -u 'my agent.py'", "mounts": str(tmp_path)})
    assert provider.readiness({}).failure is None
    assert provider.mounts() == {str(tmp_path): str(tmp_path)}
    command = provider.command(
        Launch("run_1", "ses_1", 1, "x", settings={"OPENAI_API_KEY": "sk-1", "OPENAI_MODEL": "m"})
    )
    assert command.argv[-3:] == [str(program), "-u", "my agent.py"]
    assert command.secrets == ("OPENAI_API_KEY",)
    assert command.cwd == "/home/agent"


@pytest.mark.parametrize(
    "settings",
    [{"command": "no-such-program x"}, {"command": "'"}, {**OWN, "mounts": "/no/such/folder"}, {**OWN, "mounts": "/"}],
)
def test_a_command_that_cannot_start_is_told_with_a_remedy(settings: dict[str, str]) -> None:
    readiness = AcpProvider(settings).readiness({})
    assert readiness.failure is not None
    assert "PADDOCK_ACP_" in readiness.failure.remedy


def test_a_program_that_sandboxes_do_not_show_is_told_with_a_remedy(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    failure = AcpProvider({"command": str(program)}).readiness({}).failure
    assert failure is not None
    assert "PADDOCK_ACP_MOUNTS" in failure.remedy


def test_an_adapter_that_is_not_installed_is_shown_to_no_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    provider = AcpProvider({})
    assert provider.readiness({}).failure is not None
    assert "/opt/agents/acp" not in provider.mounts()
