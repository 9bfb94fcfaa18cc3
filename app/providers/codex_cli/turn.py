"""One attempt of Codex, stepped record by record: which line means what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.run_state import RunStatus
from app.domain.turn import Launch, SendInput
from app.providers.agent_turn import AgentTurn
from app.providers.asking import Reply, Request
from app.providers.codex_cli import wire
from app.providers.codex_cli.endings import failure_of_error, failure_of_refusal, failure_of_words
from app.providers.codex_cli.items import COMMAND, PATCH, call_of, command_of, finish
from app.providers.codex_cli.queue import Queue
from app.providers.speech import Speech
from app.providers.todo_list import TodoList
from app.providers.tool_calls import ToolCalls

THREAD = {"approvalPolicy": "untrusted", "sandbox": "danger-full-access"}
"""Codex asks for every command that it does not know as read-only, and for every edit; its own sandbox is off, because the agent
is in ours already and cannot make another inside it."""

START = "turn/start"
STEER = "turn/steer"
WAITS = 2
_CLIENT = {"name": "paddock", "title": "Paddock", "version": "1"}
_STATUSES = {"pending": "pending", "inProgress": "in_progress", "completed": "completed"}
_USAGE = {"cacheRead": "cachedInputTokens", "cacheWrite5m": "cacheWriteInputTokens"}


def prompt_mark(run_id: str) -> str:
    """Return our name of the run's prompt; Codex keeps it in the thread's file."""
    return f"paddock-{run_id}"


class CodexTurn(AgentTurn):
    """See the module."""

    _queue: Queue

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch, encode=self._encode, classify=failure_of_words)
        self._speech = Speech(launch, self._outbox)
        self._calls = ToolCalls(self._outbox)
        self._todos = TodoList(self._outbox)
        self._queue = Queue(launch, self._outbox, self._tell)
        self._rpc_ids: dict[str, Any] = {}
        self._sent: dict[str, str] = {}  # our requests without an answer: id -> method
        self._thread_id = ""
        self._turn_id = ""
        self._interrupted = False
        self._used: dict[str, int] = {}
        self._turns = 0  # beside the first
        self._waits = 0  # for a network, with nothing said between them
        self._notices: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "turn/started": lambda params: self._on_turn(params["turn"]),
            "turn/completed": lambda params: self._on_end(params["turn"]),
            "turn/plan/updated": self._on_plan,
            "item/started": self._on_item_started,
            "item/completed": self._on_item_completed,
            "item/agentMessage/delta": lambda it: self._speech.delta(it["itemId"], "text", it["delta"]),
            "item/reasoning/summaryTextDelta": lambda it: self._speech.delta(it["itemId"], "thinking", it["delta"]),
            "item/reasoning/textDelta": lambda it: self._speech.delta(it["itemId"], "thinking", it["delta"]),
            "item/reasoning/summaryPartAdded": self._on_thought_part,
            "item/commandExecution/outputDelta": lambda it: self._calls.output(it["itemId"], it["delta"]),
            "serverRequest/resolved": lambda params: self._asking.withdraw(str(params["requestId"])),
            "thread/tokenUsage/updated": self._on_usage,
            "thread/compacted": lambda _: self._outbox.warn_once(
                "context_compacted", "The conversation was long; the agent summarised it."
            ),
            "model/rerouted": lambda params: self._outbox.warn_once(
                "model_rerouted", f"The provider answered with the model {params.get('toModel')}."
            ),
            "error": self._on_error,
            "warning": lambda params: self._outbox.warn_once("agent_warning", str(params.get("message"))),
        }

    # --- what the platform says

    def _on_spawn(self) -> None:
        self._request("initialize", clientInfo=_CLIENT, capabilities={"experimentalApi": True})

    def _interrupt(self) -> None:
        """Interrupt the turn, and end what it left running: the interrupt alone does not end a command."""
        if self._turn_id and not self._interrupted:
            self._interrupted = True
            self._request("turn/interrupt", threadId=self._thread_id, turnId=self._turn_id)
            self._request("thread/backgroundTerminals/clean", threadId=self._thread_id)

    def _tell(self, command_id: str, text: str) -> None:
        self._steer(command_id, text, clientUserMessageId=command_id)

    def _steer(self, name: str, text: str, **mark: str) -> None:
        fields = {"threadId": self._thread_id, "expectedTurnId": self._turn_id, "input": wire.text_input(text)}
        self._request(STEER, name, **fields, **mark)

    def _request(self, method: str, name: str = "", **params: Any) -> None:
        id_ = f"{method}:{name}:{self._launch.attempt}" if name else f"{method}:{self._launch.attempt}"
        self._sent[id_] = method
        self._send(id_, wire.request(id_, method, **params))

    def _send(self, key: str, line: bytes) -> None:
        self._outbox.intend(SendInput(key, line))

    def _encode(self, request: Request, reply: Reply) -> bytes:
        """Write a reply. A refusal has no room for its reason, so that is said to the turn before."""
        if request.kind == "approval" and not reply.allowed and reply.message and self._turn_id:
            self._steer(f"refused:{request.id}", f"The request was denied: {reply.message}\n\nContinue.")
        return wire.reply(self._rpc_ids[request.id], request, reply)

    # --- what the agent says

    def _on_line(self, data: bytes) -> None:
        if self._outbox.finished:
            return
        line: Any = None
        try:
            line = jsontext.parse(data)
            if "method" not in line:
                self._on_answer(line)
            elif "id" in line:
                self._on_request(line["id"], line["method"], line.get("params") or {})
            else:
                self._on_notice(line["method"], line.get("params") or {})
        except (ValueError, TypeError, KeyError, AttributeError):
            self._outbox.warn_once("output_unreadable", "The agent wrote a line that is not of its protocol.")
            if isinstance(line, dict) and "method" in line and "id" in line:  # it waits for an answer
                self._send(f"refusal:{line['id']}", wire.refusal(line["id"], "This client does not understand."))

    def _on_answer(self, line: Mapping[str, Any]) -> None:
        id_ = str(line.get("id"))
        method = self._sent.pop(id_, None)
        if method == STEER:
            self._queue.on_answer(id_.removeprefix(f"{STEER}:").rpartition(":")[0], line)
        elif "error" in line:
            if method in {"initialize", "thread/start", "thread/resume", START}:
                reason, failure = failure_of_refusal(method, line["error"])
                self._outbox.finish(RunStatus.FAILED, reason, failure)
        else:
            self._on_success(method, line)

    def _on_success(self, method: str | None, line: Mapping[str, Any]) -> None:
        match method:
            case "initialize":
                self._send(f"initialized:{self._launch.attempt}", wire.notification("initialized"))
                self._open_thread()
            case "thread/start" | "thread/resume":
                self._thread_id = str(line["result"]["thread"]["id"])
                self._outbox.confirm(self._thread_id)
                self._start_turn()
            case str(name) if name == START:
                self._on_turn(line["result"]["turn"])

    def _open_thread(self) -> None:
        fields: dict[str, Any] = {**THREAD, **({"model": self._launch.model} if self._launch.model else {})}
        if self._launch.resume is None:
            self._request("thread/start", **fields)
        else:
            self._request("thread/resume", threadId=self._launch.resume.conversation_id, excludeTurns=True, **fields)

    def _start_turn(self) -> None:
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
            return
        resume = self._launch.resume
        again = resume is not None and resume.has_prompt
        text = resume.message if resume is not None and again else self._launch.prompt
        mark = {} if again else {"clientUserMessageId": prompt_mark(self._launch.run_id)}
        self._request(START, threadId=self._thread_id, input=wire.text_input(text), **mark)

    def _on_request(self, id_: Any, method: str, params: Mapping[str, Any]) -> None:
        request = self._request_of(str(id_), method, params)
        self._rpc_ids[str(id_)] = id_
        if request is not None:
            if not self._stopped:
                self._asking.ask(request)
        elif method == "mcpServer/elicitation/request":
            declined = {"action": "decline", "content": None, "_meta": None}
            self._send(f"declined:{id_}:{self._launch.attempt}", wire.result(id_, declined))
        else:
            line = wire.refusal(id_, "This client does not serve such requests.")
            self._send(f"refusal:{id_}:{self._launch.attempt}", line)

    def _request_of(self, id_: str, method: str, params: Mapping[str, Any]) -> Request | None:
        item_id = str(params.get("itemId") or "") or None
        match method:
            case "item/commandExecution/requestApproval":
                command = command_of(str(params.get("command") or ""))
                given = {"command": command, "cwd": params.get("cwd")}
                return Request(id_, "approval", f"Run {command}", COMMAND, "execute", given, item_id)
            case "item/fileChange/requestApproval":
                call = self._calls.find(item_id or "")
                title, changes = (call.title, call.input) if call else ("Edit files", {})
                return Request(id_, "approval", title, PATCH, "edit", changes, item_id)
            case "item/tool/requestUserInput":
                questions = tuple(_question(asked) for asked in params["questions"])
                title = str(questions[0]["question"])
                return Request(id_, "question", title, "request_user_input", "other", {}, item_id, questions)
            case _:
                return None

    def _on_notice(self, method: str, params: Mapping[str, Any]) -> None:
        handler = self._notices.get(method)
        if handler is not None:  # other notices are progress and book-keeping
            if method.startswith("item/"):
                self._spoke, self._waits = True, 0
            handler(params)

    def _on_turn(self, turn: Mapping[str, Any]) -> None:
        self._turn_id = self._turn_id or str(turn["id"])
        self._queue.open()
        if self._stopped:
            self._interrupt()

    def _on_item_started(self, params: Mapping[str, Any]) -> None:
        kind = params["item"].get("type")
        if kind != "userMessage":
            self._queue.on_progress()
        if kind == "agentMessage":  # to take a steer in it may break off what it says, without a word of it
            self._speech.close("text")
        call = call_of(params["item"])
        if call is not None:
            self._calls.call(call)

    def _on_item_completed(self, params: Mapping[str, Any]) -> None:
        item = params["item"]
        match item.get("type"):
            case "userMessage":
                self._queue.on_message(item)
            case "agentMessage":
                self._speech.whole(item["id"], "text", str(item.get("text") or ""))
            case "reasoning":
                parts = item.get("summary") or item.get("content") or []
                self._speech.whole(item["id"], "thinking", "\n\n".join(parts))
            case _:
                finish(self._calls, item)

    def _on_thought_part(self, params: Mapping[str, Any]) -> None:
        if params.get("summaryIndex"):
            self._speech.delta(params["itemId"], "thinking", "\n\n")

    def _on_plan(self, params: Mapping[str, Any]) -> None:
        self._todos.replace(
            {"content": str(step["step"]), "status": _STATUSES.get(step.get("status"), "pending")}
            for step in params.get("plan") or []
        )

    def _on_usage(self, params: Mapping[str, Any]) -> None:
        """Add up the calls: the thread's own total goes on from earlier runs, and a resume tells the last call of the one before.
        Ours counts cached tokens apart from the input."""
        if params.get("threadId") == self._thread_id and params.get("turnId") != self._turn_id:
            return
        last = params["tokenUsage"]["last"]
        told = {ours: int(last.get(theirs) or 0) for ours, theirs in _USAGE.items()}
        told["input"] = int(last.get("inputTokens") or 0) - sum(told.values())
        told["output"] = int(last.get("outputTokens") or 0)
        told["reasoning"] = int(last.get("reasoningOutputTokens") or 0)
        self._used = {name: self._used.get(name, 0) + count for name, count in told.items()}
        self._outbox.emit(EventType.USAGE_UPDATE, **self._used, cacheWrite1h=0)

    def _on_error(self, params: Mapping[str, Any]) -> None:
        """Codex waits for a network without end: the second notice of it (after some 9 s) is one too many, and the run's own attempts
        take over."""
        if not params.get("willRetry"):
            return
        error = params.get("error") or {}
        message = f"{error.get('message')} {error.get('additionalDetails') or ''}".strip()
        self._outbox.warn_once("api_retry", f"The model's address did not serve a call ({message}); it is retried.")
        self._waits += "waiting for network" in message
        if self._waits == WAITS:
            self._speech.close()
            self._calls.close()
            self._outbox.finish(RunStatus.FAILED, "no_network", failure_of_error(error))

    def _on_end(self, turn: Mapping[str, Any]) -> None:
        if self._turn_id and turn.get("id") != self._turn_id:
            return
        self._speech.close()
        self._calls.close()
        self._asking.cancel_all(None)
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif turn.get("status") == "completed" and (left := self._queue.leave()):
            self._turns += 1
            self._turn_id = ""
            self._request(START, f"more-{self._turns}", threadId=self._thread_id, input=wire.text_input(left))
        elif turn.get("status") == "completed":
            self._outbox.finish(RunStatus.SUCCEEDED, "end_turn")
        else:
            error = turn.get("error") or {"message": f"Codex ended the turn: {turn.get('status')}."}
            self._outbox.finish(RunStatus.FAILED, str(turn.get("status")), failure_of_error(error))


def _question(asked: Mapping[str, Any]) -> dict[str, Any]:
    options = [
        {key: option[key] for key in ("label", "description") if option.get(key)}
        for option in asked.get("options") or []
    ]
    header = {"header": asked["header"]} if asked.get("header") else {}
    return {"id": str(asked["id"]), "question": str(asked.get("question") or ""), "options": options, **header}
