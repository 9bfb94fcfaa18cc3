"""One attempt of OpenCode, stepped record by record: which event means what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain import jsontext
from app.domain.failure import Failure
from app.domain.run_state import RunStatus
from app.domain.turn import Launch, SendInput
from app.providers.agent_turn import AgentTurn
from app.providers.asking import Reply, Request
from app.providers.opencode import wire
from app.providers.opencode.endings import (
    ABORTED,
    failure_of_cuts,
    failure_of_error,
    failure_of_response,
    failure_of_retry,
    failure_of_settings,
    failure_of_words,
)
from app.providers.opencode.parts import Parts, kind_of, title_of
from app.providers.opencode.queue import Queue
from app.providers.speech import Speech
from app.providers.todo_list import TodoList
from app.providers.tool_calls import ToolCalls

RETRIES = 3
"""Of one model call; the server itself would go on without end. After that the run's own attempts take over."""

_STATUSES = ("pending", "in_progress", "completed")


class OpenCodeTurn(AgentTurn):
    """See the module."""

    _queue: Queue

    def __init__(self, launch: Launch, model: str) -> None:
        super().__init__(launch, encode=self._encode, classify=failure_of_words)
        self._model = model
        self._speech = Speech(launch, self._outbox)
        self._calls = ToolCalls(self._outbox)
        self._parts = Parts(self._outbox, self._speech, self._calls)
        self._todos = TodoList(self._outbox)
        self._queue = Queue(launch, self._outbox, self._steer)
        self._session_id = ""
        self._children: dict[str, str | None] = {}  # sessions of sub-agents: id -> the call that made it
        self._roles: dict[str, str] = {}  # of messages
        self._asked: set[str] = set()
        self._prompted = self._busy = False
        self._error: Failure | None = None
        self._events: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "session.created": self._on_session,
            "session.status": lambda it: self._on_status(it.get("status") or {}),
            "session.idle": lambda _: self._on_status({"type": "idle"}),
            "session.error": self._on_error,
            "session.compacted": lambda _: self._outbox.warn_once(
                "context_compacted", "The conversation was long; the agent summarised it."
            ),
            "message.updated": lambda it: self._on_message(it["info"]),
            "message.part.updated": lambda it: self._on_part(it["part"]),
            "message.part.delta": self._parts.on_delta,
            "todo.updated": self._on_todos,
            "permission.asked": self._on_permission,
            "permission.replied": lambda it: self._asking.withdraw(str(it["requestID"])),
            "question.asked": self._on_question,
            "question.replied": lambda it: self._asking.withdraw(str(it["requestID"])),
            "question.rejected": lambda it: self._asking.withdraw(str(it["requestID"])),
        }

    # --- what the platform says

    def _on_spawn(self) -> None:
        """The bridge speaks first."""

    def _interrupt(self) -> None:
        if self._prompted:
            self._abort()

    def _abort(self) -> None:
        self._request("abort", "POST", f"/session/{self._session_id}/abort", {})

    def _steer(self, name: str, text: str) -> None:
        body = wire.prompt(text, self._model, name)
        self._request(f"steer:{name}", "POST", f"/session/{self._session_id}/prompt_async", body)

    def _request(self, name: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        key = f"{name}:{self._launch.attempt}"
        self._outbox.intend(SendInput(key, wire.request(key, method, path, body)))

    def _encode(self, request: Request, reply: Reply) -> bytes:
        if not reply.allowed and request.tool_call_id:
            self._parts.deny(request.tool_call_id)
        return wire.reply(f"reply:{request.id}:{self._launch.attempt}", request, reply)

    # --- what the agent says

    def _on_line(self, data: bytes) -> None:
        if self._outbox.finished:
            return
        try:
            line = jsontext.parse(data)
            match line["type"]:
                case "refused":
                    self._finish(RunStatus.FAILED, "refused", failure_of_settings(line["paths"]))
                case "ready":
                    self._open()
                case "event":
                    self._on_event(line["event"])
                case "response":
                    self._on_response(str(line["id"]).rpartition(":")[0], int(line["status"]), line.get("body"))
                case "resync":
                    self._catch_up()
        except (ValueError, TypeError, KeyError, AttributeError):
            self._outbox.warn_once("output_unreadable", "The agent wrote a line that is not of its protocol.")

    def _open(self) -> None:
        if self._launch.resume is None:
            self._request("open", "POST", "/session", {"title": "Paddock"})
        else:
            self._request("find", "GET", f"/session/{self._launch.resume.conversation_id}/message")

    def _catch_up(self) -> None:
        """Ask for what events may have been missed of."""
        if self._session_id:
            for name, path in (
                ("messages", f"/session/{self._session_id}/message"),
                ("permissions", "/permission"),
                ("questions", "/question"),
                ("status", "/session/status"),
            ):
                self._request(f"catch-up:{name}:{len(self._asked)}", "GET", path)

    def _on_response(self, name: str, status: int, body: Any) -> None:
        good = 200 <= status < 300
        if name.startswith("catch-up:"):
            if good:
                self._on_missed(name.split(":")[1], body)
        elif not good and name in ("open", "find", "prompt"):
            what = {"open": "begin a conversation", "find": "find the conversation", "prompt": "take the prompt"}[name]
            self._finish(RunStatus.FAILED, *failure_of_response(what, status, body))
        elif name.startswith("steer:"):
            self._queue.on_response(name.removeprefix("steer:"), status)
        elif name == "prompt":
            self._queue.open()
        elif name == "open":
            self._prompt(str(body["id"]), again=False)
        elif name == "find" and self._launch.resume is not None:
            self._roles.update({message["info"]["id"]: "past" for message in body})
            again = wire.has_mark(body, self._launch.run_id)  # the server knows; its file on disk may be behind
            self._prompt(self._launch.resume.conversation_id, again=again)

    def _prompt(self, session_id: str, *, again: bool) -> None:
        self._session_id = session_id
        self._outbox.confirm(session_id)
        if self._stopped:
            self._finish(RunStatus.CANCELED, "stopped")
            return
        resume = self._launch.resume
        text = resume.message if resume is not None and again else self._launch.prompt
        mark = None if again else self._launch.run_id
        self._prompted = True
        self._request("prompt", "POST", f"/session/{session_id}/prompt_async", wire.prompt(text, self._model, mark))

    def _on_missed(self, name: str, body: Any) -> None:
        match name:
            case "messages":
                for message in body:
                    if message["info"]["id"] not in self._roles:
                        self._on_message(message["info"])
                    for part in message["parts"]:
                        self._on_part(part)
            case "permissions":
                for asked in body:
                    self._on_permission(asked)
            case "questions":
                for asked in body:
                    self._on_question(asked)
            case "status":
                self._on_status(body.get(self._session_id) or {"type": "idle"})

    def _on_event(self, event: Mapping[str, Any]) -> None:
        handler, properties = self._events.get(str(event.get("type"))), event.get("properties") or {}
        session_id = str(properties.get("sessionID") or "")
        if handler is None or not self._session_id:
            return
        if session_id == self._session_id or session_id in self._children or event["type"] == "session.created":
            if session_id != self._session_id and event["type"] in ("session.status", "session.idle", "session.error"):
                return  # a sub-agent's end is its call's result
            if session_id != self._session_id and event["type"] in ("todo.updated", "message.part.delta"):
                return
            handler(properties)

    def _on_message(self, info: Mapping[str, Any]) -> None:
        self._roles[info["id"]] = info["role"]
        if info["role"] == "assistant" and info.get("sessionID") == self._session_id:
            self._queue.on_answer(str(info.get("parentID") or ""))

    def _on_session(self, properties: Mapping[str, Any]) -> None:
        info = properties["info"]
        if info.get("parentID") == self._session_id or info.get("parentID") in self._children:
            self._children.setdefault(str(info["id"]), None)

    def _on_part(self, part: Mapping[str, Any]) -> None:
        role, session_id = self._roles.get(str(part.get("messageID"))), str(part.get("sessionID"))
        if role != "assistant":
            self._queue.on_part(part)
            return
        self._spoke = True
        if part.get("tool") == "task":
            child = ((part.get("state") or {}).get("metadata") or {}).get("sessionId")
            if child:
                self._children[str(child)] = str(part["callID"])
        mine = session_id == self._session_id
        self._parts.on_part(part, speaks=mine, parent=None if mine else self._children.get(session_id))
        if self._parts.cut_answers:
            self._on_broken_answer()

    def _on_broken_answer(self) -> None:
        """The server asks its model again, without a pause and without an end, where an answer does not say why it ended."""
        self._outbox.warn_once("api_retry", "An answer of the model broke off; it is asked again.")
        if self._parts.cut_answers > RETRIES:
            self._finish(RunStatus.FAILED, "error", failure_of_cuts(self._parts.cut_answers))

    def _on_todos(self, properties: Mapping[str, Any]) -> None:
        self._todos.replace(
            {key: todo[key] for key in ("content", "status", "priority") if todo.get(key)}
            for todo in properties.get("todos") or []
            if todo.get("status") in _STATUSES
        )

    def _on_permission(self, properties: Mapping[str, Any]) -> None:
        id_ = str(properties["id"])
        if id_ in self._asked or self._stopped:
            return
        self._asked.add(id_)
        call_id = str((properties.get("tool") or {}).get("callID") or "") or None
        call = self._calls.find(call_id or "")
        tool = call.name if call else str(properties.get("permission"))
        given = dict(call.input) if call else {"patterns": properties.get("patterns"), **properties["metadata"]}
        title = call.title if call else title_of(tool, given)
        if properties.get("permission") not in (tool, "edit", "bash"):  # another right than the tool's own
            given["permission"], given["patterns"] = properties.get("permission"), properties.get("patterns")
        self._asking.ask(Request(id_, "approval", title, tool, kind_of(tool), given, call_id))

    def _on_question(self, properties: Mapping[str, Any]) -> None:
        id_ = str(properties["id"])
        if id_ in self._asked or self._stopped:
            return
        self._asked.add(id_)
        questions = tuple(_question(number, asked) for number, asked in enumerate(properties["questions"], 1))
        call_id = (properties.get("tool") or {}).get("callID")
        title = str(questions[0]["question"])
        self._asking.ask(Request(id_, "question", title, "question", "other", {}, call_id, questions))

    def _on_status(self, status: Mapping[str, Any]) -> None:
        match status.get("type"):
            case "busy":
                self._busy = True
            case "retry":
                self._busy = True
                message = str(status.get("message"))
                warning = f"The model's address did not serve a call ({message}); it is retried."
                self._outbox.warn_once("api_retry", warning)
                if int(status.get("attempt") or 0) > RETRIES:
                    self._finish(RunStatus.FAILED, "error", failure_of_retry(message))
            case "idle" if self._busy or self._error or self._stopped:
                self._on_end()

    def _on_error(self, properties: Mapping[str, Any]) -> None:
        error = properties.get("error") or {}
        if error.get("name") != ABORTED:
            self._error = self._error or failure_of_error(error)

    def _on_end(self) -> None:
        if self._stopped:
            self._finish(RunStatus.CANCELED, "stopped")
        elif self._error is not None:
            self._finish(RunStatus.FAILED, "error", self._error)
        elif not self._queue.is_waiting:
            self._finish(RunStatus.SUCCEEDED, "end_turn")

    def _finish(self, status: RunStatus, reason: str, failure: Failure | None = None) -> None:
        self._speech.close()
        self._calls.close()
        self._asking.cancel_all(None)
        self._outbox.finish(status, reason, failure)


def _question(number: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    options = [
        {key: option[key] for key in ("label", "description") if option.get(key)}
        for option in asked.get("options") or []
    ]
    question: dict[str, Any] = {"id": f"q{number}", "question": str(asked.get("question") or ""), "options": options}
    if asked.get("header"):
        question["header"] = asked["header"]
    if asked.get("multiple"):
        question["multiple"] = True
    return question
