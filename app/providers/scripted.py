"""The provider `scripted`: what the lines of `executor/scripted_agent.py` mean. Deterministic, needs nothing, always
labelled as such by its model name `scripted`. The directives are listed in docs/scripted-provider.md."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from app.domain import jsontext
from app.domain.capabilities import Capabilities
from app.domain.events import EventType
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import AgentCommand, Launch, Probe, SendInput
from app.ports import Readiness, Turn
from app.providers.agent_turn import AgentTurn
from app.providers.asking import Reply, Request
from app.providers.steering import Steering

KIND = "scripted"
MODEL = "scripted"
UNSURE = 256
"""Characters at the end of what is left of a line: they may be half a secret, or half an escape."""
_NAMESPACE = uuid.UUID("6f6a1c1e-5c1b-4e57-9a53-5a6f3d1f0c01")


class ScriptedProvider:
    """See the module."""

    def __init__(self, kind: str = KIND) -> None:
        """`kind` is another's where `PADDOCK_PROVIDER_MODE=scripted` stands in for it."""
        self.kind = kind
        self.capabilities = Capabilities(
            stream=True, stop=True, resume=True, human_loop=True, questions=True, todo=True, usage=True, steering=True
        )

    def readiness(self, settings: Mapping[str, str]) -> Readiness:  # noqa: ARG002 - needs nothing, and says so
        return Readiness(installed=True, version="1", failure=None)

    def mounts(self) -> Mapping[str, str]:
        return {}

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:  # noqa: ARG002 - there is one
        return MODEL

    def probes(self, launch: Launch) -> Sequence[Probe]:
        if launch.resume is None:
            return ()
        return (Probe(f".scripted/{launch.resume.conversation_id}.jsonl", f'"run": "{launch.run_id}", "prompt"'),)

    def command(self, launch: Launch) -> AgentCommand:  # noqa: ARG002 - the same for every launch
        return AgentCommand(
            argv=["/opt/paddock/python", "-I", "-S", "/opt/paddock/executor/scripted_agent.py"],
            env={"HOME": "/home/agent", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
            text_lines=tuple(f'{{"type":"{name}"' for name in ("delta", "thinking_delta", "output")),
        )

    def begin(self, launch: Launch) -> Turn:
        return ScriptedTurn(launch)


def conversation_of(launch: Launch) -> str:
    """Return the conversation that goes on, or a new one of this attempt's own."""
    if launch.resume is not None:
        return launch.resume.conversation_id
    return str(uuid.uuid5(_NAMESPACE, f"{launch.run_id}.{launch.attempt}"))


class ScriptedTurn(AgentTurn):
    """One attempt of the scripted agent."""

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch, encode=_encode, classify=lambda _: None)
        self._queue = Steering(launch, self._outbox, self._steer)
        self._handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "ready": self._ready,
            **dict.fromkeys(_TEXT_EVENTS, self._text),
            "tool": self._tool,
            "output": self._output,
            "result": self._result,
            "todos": self._todos,
            "permission": self._permission,
            "question": self._question,
            "withdraw": self._withdraw,
            "steered": lambda line: self._queue.taken(line["id"]),
            "usage": self._usage,
            "end": self._end,
        }

    def _on_spawn(self) -> None:
        self._outbox.intend(SendInput(f"start:{self._launch.attempt}", self._start_line()))

    def _start_line(self) -> bytes:
        resume = self._launch.resume
        return orjson.dumps(
            {
                "type": "start",
                "run": self._launch.run_id,
                "attempt": self._launch.attempt,
                "conversation": conversation_of(self._launch),
                "resume": resume is not None,
                "continue": resume is not None and resume.has_prompt,
                "answers": [{"kind": answer.kind, **answer.reply} for answer in resume.answers] if resume else [],
                "prompt": self._launch.prompt,
            }
        )

    def _on_line(self, data: bytes) -> None:
        if self._outbox.finished:
            return
        try:
            line = jsontext.parse(data)
            handler = self._handlers.get(line["type"])
            if handler is None:
                self._outbox.warn_once("output_unknown", f"The agent wrote a line of an unknown type: {line['type']}.")
                return
            self._spoke = self._spoke or line["type"] not in {"ready", "usage"}
            handler(line)
        except (ValueError, TypeError, KeyError):
            self._outbox.warn_once("output_unreadable", "The agent wrote a line that is not of its protocol.")

    def _on_cut(self, facts: Mapping[str, Any]) -> None:
        """Of a line that was too long its beginning is known: it is told where that says enough."""
        super()._on_cut(facts)
        begun = jsontext.closed(str(facts.get("head") or "")[:-UNSURE])
        if begun is not None:
            self._on_line(begun)

    def _interrupt(self) -> None:
        self._outbox.intend(SendInput(f"interrupt:{self._launch.attempt}", b'{"type":"interrupt"}'))

    def _steer(self, name: str, text: str) -> None:
        line = orjson.dumps({"type": "steer", "id": name, "text": text})
        self._outbox.intend(SendInput(f"steer:{name}:{self._launch.attempt}", line))

    # --- lines of the agent

    def _ready(self, line: Mapping[str, Any]) -> None:
        self._outbox.confirm(str(line["conversation"]))
        self._queue.open()

    def _text(self, line: Mapping[str, Any]) -> None:
        type_ = _TEXT_EVENTS[line["type"]]
        role = {"role": "assistant"} if type_ is EventType.MESSAGE_DELTA else {}
        self._outbox.emit(type_, messageId=line["id"], **role, text=line["text"])

    def _tool(self, line: Mapping[str, Any]) -> None:
        self._outbox.emit(
            EventType.TOOL_CALL,
            toolCallId=line["id"],
            name=line["name"],
            kind=line["kind"],
            title=line["title"],
            input=line["input"],
        )

    def _output(self, line: Mapping[str, Any]) -> None:
        self._outbox.emit(EventType.TOOL_OUTPUT, toolCallId=line["id"], text=line["text"])

    def _result(self, line: Mapping[str, Any]) -> None:
        self._outbox.emit(EventType.TOOL_RESULT, toolCallId=line["id"], status=line["status"], output=line["output"])

    def _todos(self, line: Mapping[str, Any]) -> None:
        self._outbox.emit(EventType.TODO_UPDATE, todos=line["todos"])

    def _permission(self, line: Mapping[str, Any]) -> None:
        self._asking.ask(
            Request(
                line["id"],
                "approval",
                line["title"],
                line["tool"],
                line["kind"],
                line["input"],
                line["call"],
                timeout_seconds=line.get("timeout"),
            )
        )

    def _question(self, line: Mapping[str, Any]) -> None:
        questions = tuple(line["questions"])
        self._asking.ask(
            Request(line["id"], "question", line["title"], "Ask", "other", {}, None, questions, line.get("timeout"))
        )

    def _withdraw(self, line: Mapping[str, Any]) -> None:
        self._asking.withdraw(line["id"])

    def _usage(self, line: Mapping[str, Any]) -> None:
        told = line["usage"]
        classes = ("input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h", "reasoning")
        self._outbox.emit(
            EventType.USAGE_UPDATE,
            **{name: int(told.get(name, 0)) for name in classes},
            costUsd=float(told.get("costUsd", 0)),
        )

    def _end(self, line: Mapping[str, Any]) -> None:
        self._asking.cancel_all(None)
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif line["status"] == "failed":
            known = set(FailureCode)
            code = FailureCode(line["code"]) if line["code"] in known else FailureCode.AGENT_ERROR
            self._outbox.finish(RunStatus.FAILED, line["reason"], Failure(code, line["message"]))
        else:
            self._outbox.finish(RunStatus(line["status"]), line["reason"])


_TEXT_EVENTS = {
    "delta": EventType.MESSAGE_DELTA,
    "message": EventType.MESSAGE_STOP,
    "thinking_delta": EventType.THINKING_DELTA,
    "thinking": EventType.THINKING_STOP,
}


def _encode(request: Request, reply: Reply) -> bytes:
    return orjson.dumps(
        {
            "type": "reply",
            "id": request.id,
            "allow": reply.allowed,
            "message": reply.message,
            "answers": reply.answers,
        }
    )
