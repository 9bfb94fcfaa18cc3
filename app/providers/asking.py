"""Permission requests and questions of one attempt, from the agent's asking to the delivery of the reply. The same for
every agent; how a reply is written on its wire is the adapter's, given as `encode`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.turn import AskPolicy, Launch, SendInput, ToolKind
from app.ids import derived_id
from app.providers.outbox import Outbox

DECISIONS = ["allow", "allow_always", "deny"]
NO_REPLY_MESSAGE = "The user declined this."


@dataclass(frozen=True, slots=True)
class Request:
    """What the agent asks. `id` is its own id of the request; a question goes to a person without asking the policy.
    `timeout_seconds`: how long the agent says that it waits."""

    id: str
    kind: Literal["approval", "question"]
    title: str
    tool: str
    tool_kind: ToolKind
    input: Mapping[str, Any]
    tool_call_id: str | None = None
    questions: tuple[Mapping[str, Any], ...] = ()
    timeout_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent is told. `answers` by question id, each a list; None for approvals."""

    allowed: bool
    message: str = ""
    answers: Mapping[str, list[str]] | None = None


Encode = Callable[["Request", "Reply"], bytes]
"""Writes a reply as a line for the agent."""


class Asking:
    """The open requests of a turn.

    `allow_always` is remembered for the tool and the rest of the run: where the policy says `ask` again, the answer is allow.
    A `deny` of the policy still holds, because the policy is asked first each time. What a person answered while the agent was gone
    answers its next question of the same words, once: nobody is asked the same twice.
    """

    def __init__(self, launch: Launch, outbox: Outbox, encode: Encode) -> None:
        self._launch, self._outbox, self._encode = launch, outbox, encode
        self._judged: dict[str, Request] = {}  # at the policy, by the agent's id
        self._open: dict[str, Request] = {}  # at a person, by ours
        self._allowed_tools = set(launch.allowed_tools)
        self._answered = [answer for answer in (launch.resume.answers if launch.resume else ()) if answer.questions]

    def ask(self, request: Request) -> None:
        """Take a new request of the agent."""
        if request.kind == "question":
            known = next((each for each in self._answered if _words(each.questions) == _words(request.questions)), None)
            if known is None:
                self._ask_person(request, rule=None)
            else:
                self._answered.remove(known)
                self._reply(request, _reply_of(request, known.reply))
            return
        self._judged[request.id] = request
        key = f"policy:{self._launch.attempt}:{request.id}"
        self._outbox.intend(
            AskPolicy(key, request.id, request.tool, request.tool_kind, jsontext.sayable(dict(request.input)))
        )

    def on_verdict(self, control: Mapping[str, Any]) -> None:
        """Take the policy's verdict; one for a request that is no longer there changes nothing."""
        request = self._judged.pop(str(control.get("requestId")), None)
        if request is None:
            return
        verdict, rule = control.get("verdict"), control.get("rule")
        if verdict == "allow" or (verdict == "ask" and request.tool in self._allowed_tools):
            self._reply(request, Reply(True))
        elif verdict == "ask":
            self._ask_person(request, rule)
        else:
            said = control.get("message") or f"The policy does not allow this (rule: {rule})."
            self._reply(request, Reply(False, str(said)))

    def on_answer(self, control: Mapping[str, Any]) -> None:
        """Take a person's answer; one for a request that is no longer open changes nothing."""
        request = self._open.pop(str(control.get("requestId")), None)
        if request is None:
            return
        decision, message = control.get("decision"), control.get("message")
        if decision == "allow_always":
            self._allowed_tools.add(request.tool)
        reply = _reply_of(request, control)
        said: dict[str, Any] = {"answers": reply.answers} if reply.answers else {"decision": decision}
        if message:
            said["message"] = message
        self._resolve(request, "answered", control.get("by"), said, str(control.get("delivery") or "live"))
        self._reply(request, reply)

    def on_expiry(self, control: Mapping[str, Any]) -> None:
        """Take the end of a deadline: the agent is told no."""
        request = self._open.pop(str(control.get("requestId")), None)
        if request is not None:
            self._resolve(request, "expired", control.get("by"))
            self._reply(request, Reply(False, "Nobody answered in time."))

    def withdraw(self, provider_id: str) -> None:
        """The agent no longer waits for this one."""
        self._judged.pop(provider_id, None)
        request = self._open.pop(self._public_id(provider_id), None)
        if request is not None:
            self._resolve(request, "superseded", None)

    def cancel_all(self, by: Any) -> None:
        """The turn is being stopped, or has ended: nothing is open any more."""
        self._judged.clear()
        for request in list(self._open.values()):
            self._resolve(request, "canceled", by)
        self._open.clear()

    def _ask_person(self, request: Request, rule: Any) -> None:
        public_id = self._public_id(request.id)
        self._open[public_id] = request
        data: dict[str, Any] = {"requestId": public_id, "kind": request.kind, "title": request.title}
        if request.tool_call_id:
            data["toolCallId"] = request.tool_call_id
        if request.kind == "question":
            data["questions"] = [dict(question) for question in request.questions]
        else:
            data["toolCall"] = {"name": request.tool, "kind": request.tool_kind, "input": dict(request.input)}
            data["options"] = list(DECISIONS)
        if rule:
            data["rule"] = rule
        if request.timeout_seconds is not None:
            data["timeoutSeconds"] = request.timeout_seconds  # the driver makes `deadlineAt` of it
        self._outbox.emit(EventType.HUMAN_LOOP_REQUESTED, **data)

    def _resolve(
        self, request: Request, outcome: str, by: Any, reply: Mapping[str, Any] | None = None, delivery: str = "live"
    ) -> None:
        self._outbox.emit(
            EventType.HUMAN_LOOP_RESOLVED,
            requestId=self._public_id(request.id),
            outcome=outcome,
            by=by,
            reply=reply,
            delivery=delivery,
        )

    def _reply(self, request: Request, reply: Reply) -> None:
        key = f"reply:{self._launch.attempt}:{request.id}"
        self._outbox.intend(SendInput(key, self._encode(request, reply)))

    def _public_id(self, provider_id: str) -> str:
        return derived_id("hlr", self._launch.run_id, self._launch.attempt, provider_id)


def _reply_of(request: Request, said: Mapping[str, Any]) -> Reply:
    """Return what the agent is told of what a person said: `decision`, `answers`, `message`."""
    answers = {str(key): _texts(value) for key, value in (said.get("answers") or {}).items()}
    allowed = bool(answers) if request.kind == "question" else said.get("decision") in {"allow", "allow_always"}
    return Reply(allowed, said.get("message") or ("" if allowed else NO_REPLY_MESSAGE), answers or None)


def _words(questions: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return what makes questions the same: what is asked, and what there is to choose."""
    return [
        (str(each.get("question")), [str(option.get("label")) for option in each.get("options") or ()])
        for each in questions
    ]


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
