"""One attempt of an agent of the Agent Client Protocol, stepped record by record: which line means what.

What comes before the prompt was sent is the history of a loaded conversation, and makes no events. Messages end where
something else begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import Launch, SendInput
from app.providers.acp import endings, wire
from app.providers.acp.agents import WORKSPACE, AcpAgent
from app.providers.acp.drafts import Drafts, text_of
from app.providers.acp.forms import content_of, questions_of
from app.providers.acp.history import History
from app.providers.acp.usage import used_of
from app.providers.agent_turn import AgentTurn
from app.providers.asking import NO_REPLY_MESSAGE, Reply, Request
from app.providers.speech import Speech, SpeechKind
from app.providers.steering import Steering
from app.providers.todo_list import TodoList
from app.providers.tool_calls import ToolCalls

PROMPT = "session/prompt"
STEER = "_session/steering"
_STATUSES = {"pending": "pending", "in_progress": "in_progress", "completed": "completed"}
_DECIMALS = 8


class AcpTurn(AgentTurn):
    """See the module."""

    _queue: Steering

    def __init__(self, launch: Launch, agent: AcpAgent) -> None:
        super().__init__(launch, encode=self._encode, classify=endings.failure_of_words)
        self._agent = agent
        self._speech = Speech(launch, self._outbox)
        self._drafts = Drafts(ToolCalls(self._outbox))
        self._todos = TodoList(self._outbox)
        self._queue = Steering(launch, self._outbox, self._steer_or_refuse)
        self._history = History()
        self._sent: dict[str, str] = {}  # our requests without an answer: id -> method
        self._asked: dict[str, tuple[Any, Mapping[str, Any]]] = {}  # the agent's, by our name: its id and its params
        self._wishes: list[tuple[str, dict[str, Any]]] = []  # to be granted before the prompt
        self._session_id = ""
        self._prompted = self._can_steer = self._refused = False
        self._saying: tuple[SpeechKind, str] | None = None
        self._said = ""  # the last text
        self._pieces = self._led_back = 0
        self._cost: float | None = None

    # --- what the platform says

    def _on_spawn(self) -> None:
        self._request("initialize", **wire.INTRODUCTION)

    def _interrupt(self) -> None:
        """Withdraw what the agent waits for and cancel its turn; before the prompt there is none, and none is begun."""
        for name, (id_, params) in self._asked.items():
            answer: Mapping[str, Any] = {"action": "cancel"} if "options" not in params else wire.CANCELLED
            self._send(f"cancelled:{name}:{self._launch.attempt}", wire.result(id_, answer))
        self._asked.clear()
        if self._prompted:
            line = wire.notification("session/cancel", sessionId=self._session_id)
            self._send(f"cancel:{self._launch.attempt}", line)

    def _steer_or_refuse(self, name: str, text: str) -> None:
        if self._can_steer:
            self._steer(name, text)
        else:
            self._queue.refused(name, "it takes none while it works.")

    def _steer(self, name: str, text: str) -> None:
        extra = {"steering": {"idleBehavior": "promptRequired"}}
        self._request(STEER, name, sessionId=self._session_id, prompt=wire.text_prompt(text), _meta=extra)

    def _request(self, method: str, name: str = "", **params: Any) -> None:
        id_ = f"{method}:{name}:{self._launch.attempt}" if name else f"{method}:{self._launch.attempt}"
        self._sent[id_] = method
        self._send(id_, wire.request(id_, method, **params))

    def _send(self, key: str, line: bytes) -> None:
        self._outbox.intend(SendInput(key, line))

    def _encode(self, request: Request, reply: Reply) -> bytes:
        """Write a reply. A refusal has no room for its reason, so that is said to the turn before, where it can be."""
        id_, params = self._asked.pop(request.id)
        if request.kind == "question":
            content = content_of(params, reply.answers or {})
            return wire.result(
                id_, {"action": "accept", "content": content} if reply.allowed else {"action": "decline"}
            )
        if reply.allowed:
            answer = wire.permission(params["options"], "allow_once")
            if answer != wire.CANCELLED:
                return wire.result(id_, answer)
            self._outbox.warn_once(
                "no_single_permission", "The agent can be allowed this for ever only: it was denied."
            )
        elif reply.message not in ("", NO_REPLY_MESSAGE) and self._can_steer:
            self._steer(f"refused-{request.id}", f"The request was denied: {reply.message}\n\nContinue.")
        self._refused = True
        self._drafts.deny(request.tool_call_id or "")
        return wire.result(id_, wire.permission(params["options"], "reject_once"))

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
                self._on_request(line["id"], str(line["method"]), line.get("params") or {})
            else:
                self._on_notice(str(line["method"]), line.get("params") or {})
        except (ValueError, TypeError, KeyError, AttributeError):
            self._outbox.warn_once("output_unreadable", "The agent wrote a line that is not of its protocol.")
            if isinstance(line, dict) and "method" in line and "id" in line:  # it waits for an answer
                self._send(f"refusal:{line['id']}", wire.refusal(line["id"], "This client does not understand."))

    def _on_answer(self, line: Mapping[str, Any]) -> None:
        id_ = str(line.get("id"))
        method = self._sent.pop(id_, None)
        if method is None:
            return
        if method == STEER:
            self._on_steered(id_.removeprefix(f"{STEER}:").rpartition(":")[0], line)
            return
        if "error" in line:
            self._on_error(method, line["error"])
            return
        result = line.get("result") or {}
        match method:
            case "initialize":
                self._on_introduction(result)
            case "session/new" | "session/load":
                self._on_session(result)
            case "session/prompt":
                self._on_end(result)
            case _:
                self._go_on()

    def _on_steered(self, name: str, line: Mapping[str, Any]) -> None:
        """Take what became of a steer; one that found no turn came after its end."""
        if "error" in line:
            self._queue.refused(name, str(line["error"].get("message")))
        elif (line.get("result") or {}).get("outcome") == "injected":
            self._queue.taken(name)

    def _on_introduction(self, result: Mapping[str, Any]) -> None:
        version = result.get("protocolVersion")
        if version != wire.PROTOCOL_VERSION:
            message = f"The agent speaks version {version} of the protocol, not {wire.PROTOCOL_VERSION}."
            self._outbox.finish(RunStatus.FAILED, "error", Failure(FailureCode.SETUP_FAILED, message))
            return
        steering = (result.get("_meta") or {}).get("steering") or {}
        self._can_steer = bool(steering.get("supported"))
        resume = self._launch.resume
        extra: dict[str, Any] = {"_meta": self._agent.meta} if self._agent.meta else {}
        if resume is None:
            self._request("session/new", cwd=WORKSPACE, mcpServers=[], **extra)
        elif (result.get("agentCapabilities") or {}).get("loadSession"):
            self._request("session/load", sessionId=resume.conversation_id, cwd=WORKSPACE, mcpServers=[], **extra)
        else:
            failure = endings.resume_failed("the agent cannot load conversations.")
            self._outbox.finish(RunStatus.FAILED, endings.RESUME_FAILED, failure)

    def _on_session(self, result: Mapping[str, Any]) -> None:
        resume = self._launch.resume
        self._session_id = resume.conversation_id if resume is not None else str(result["sessionId"])
        self._outbox.confirm(self._session_id)
        self._wish_for_mode(result.get("modes") or {})
        self._wish_for_model(result.get("configOptions") or [])
        if not self._outbox.finished:
            self._go_on()

    def _wish_for_mode(self, modes: Mapping[str, Any]) -> None:
        wanted = self._agent.mode
        if wanted is None or modes.get("currentModeId") == wanted:
            return
        if wanted not in {mode.get("id") for mode in modes.get("availableModes") or []}:
            message = f"The agent has no mode {wanted!r}, in which it would ask for what it does."
            self._outbox.finish(RunStatus.FAILED, "error", Failure(FailureCode.SETUP_FAILED, message))
            return
        self._wishes.append(("session/set_mode", {"modeId": wanted}))

    def _wish_for_model(self, options: list[Mapping[str, Any]]) -> None:
        """Choose the run's model, where the agent does not have it from its native settings."""
        if self._launch.model is None or self._agent.native is not None:
            return
        choice = next((option for option in options if option.get("category") == "model"), None)
        values = {str(value.get("value")) for value in (choice or {}).get("options") or []}
        if choice is None or self._launch.model not in values:
            message = f"The agent offers no model {self._launch.model!r}."
            self._outbox.finish(RunStatus.FAILED, "error", Failure(FailureCode.MODEL_INVALID, message))
            return
        self._wishes.append(("session/set_config_option", {"configId": choice["id"], "value": self._launch.model}))

    def _go_on(self) -> None:
        """Send the next wish, or the prompt after the last one."""
        if self._prompted:
            return
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif self._wishes:
            method, params = self._wishes.pop(0)
            self._request(method, sessionId=self._session_id, **params)
        else:
            self._prompted = True
            text = self._history.prompt_for(self._launch)
            self._request(PROMPT, sessionId=self._session_id, prompt=wire.text_prompt(text))
            self._queue.open()

    def _on_request(self, id_: Any, method: str, params: Mapping[str, Any]) -> None:
        name = str(id_)
        if self._stopped and method in {"session/request_permission", "elicitation/create"}:
            answer: Mapping[str, Any] = {"action": "cancel"} if "options" not in params else wire.CANCELLED
            self._send(f"cancelled:{name}:{self._launch.attempt}", wire.result(id_, answer))
        elif method == "session/request_permission":
            self._interrupt_speech()
            self._drafts.settle(complete_only=True)
            call = self._drafts.ask(params["toolCall"])
            self._asked[name] = (id_, params)
            self._asking.ask(Request(name, "approval", call.title, call.name, call.kind, call.input, call.id))
        elif method == "elicitation/create" and params.get("mode", "form") == "form":
            self._interrupt_speech()
            self._drafts.settle(complete_only=True)
            questions = questions_of(params)
            title = str(params.get("message") or questions[0]["question"])
            self._asked[name] = (id_, params)
            call_id = str(params["toolCallId"]) if params.get("toolCallId") else None
            self._asking.ask(Request(name, "question", title, "elicitation", "other", {}, call_id, questions))
        elif method == "elicitation/create":
            self._send(f"declined:{name}:{self._launch.attempt}", wire.result(id_, {"action": "decline"}))
        else:
            line = wire.refusal(id_, "This client does not serve such requests.")
            self._send(f"refusal:{name}:{self._launch.attempt}", line)

    def _on_notice(self, method: str, params: Mapping[str, Any]) -> None:
        if method == "$/cancel_request":
            name = str(params.get("requestId"))
            self._asking.withdraw(name)
            self._asked.pop(name, None)
        elif method == "session/update":
            update = params["update"]
            if not self._prompted:
                self._history.add(update)
            elif params.get("sessionId") == self._session_id:
                self._on_update(str(update["sessionUpdate"]), update)

    def _on_update(self, kind: str, update: Mapping[str, Any]) -> None:
        match kind:
            case "agent_message_chunk":
                self._say("text", update)
            case "agent_thought_chunk":
                self._say("thinking", update)
            case "tool_call" | "tool_call_update":
                self._spoke = True
                if kind == "tool_call":
                    self._interrupt_speech()
                    self._drafts.settle(complete_only=True)
                self._drafts.take(update)
            case "plan":
                self._spoke = True
                self._todos.replace(_todo(entry) for entry in update.get("entries") or [])
            case "usage_update":
                self._drafts.settle(complete_only=True)
                cost = update.get("cost") or {}
                if isinstance(cost.get("amount"), int | float) and cost.get("currency") == "USD":
                    self._cost = float(cost["amount"])
            case "current_mode_update":
                self._keep_mode(str(update.get("currentModeId")))

    def _say(self, kind: SpeechKind, update: Mapping[str, Any]) -> None:
        self._spoke = True
        saying = (kind, str(update.get("messageId") or ""))
        if saying != self._saying:
            self._interrupt_speech()
            self._drafts.settle()
            self._saying, self._said = saying, ""
            self._pieces += 1
        text = text_of(update.get("content"))
        self._said += text if kind == "text" else ""
        self._speech.delta(str(self._pieces), kind, text)

    def _interrupt_speech(self) -> None:
        self._speech.close()
        self._saying = None

    def _keep_mode(self, mode: str) -> None:
        """Lead the agent back where it went into a mode in which it asks less; planning asks for what it does."""
        if self._agent.mode and mode not in {self._agent.mode, "plan"}:
            self._led_back += 1
            self._request(
                "session/set_mode", f"back-{self._led_back}", sessionId=self._session_id, modeId=self._agent.mode
            )

    # --- ends

    def _on_end(self, result: Mapping[str, Any]) -> None:
        self._close()
        used = used_of(result) if self._agent.capabilities.usage else None
        if used is not None:
            fresh = self._launch.resume is None and self._cost is not None  # a session's cost counts earlier runs too
            cost = {"costUsd": round(self._cost or 0, _DECIMALS)} if fresh else {}
            self._outbox.emit(EventType.USAGE_UPDATE, **used, **cost)
        reason = str(result.get("stopReason"))
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif reason == "end_turn" or (reason == "cancelled" and self._refused):
            self._outbox.finish(RunStatus.SUCCEEDED, reason)
        else:
            self._outbox.finish(RunStatus.FAILED, reason, endings.failure_of_reason(reason))

    def _on_error(self, method: str, error: Mapping[str, Any]) -> None:
        if method == "session/set_mode" and self._prompted:
            return  # it went where it was led from; what it does there it asks for, or its command is at fault
        self._close()
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif method == PROMPT:
            self._outbox.finish(RunStatus.FAILED, "error", endings.failure_of_error(error, self._said))
        else:
            self._outbox.finish(RunStatus.FAILED, *endings.failure_of_refusal(method, error))

    def _close(self) -> None:
        self._interrupt_speech()
        self._drafts.close()
        self._asking.cancel_all(None)


def _todo(entry: Mapping[str, Any]) -> dict[str, Any]:
    priority = {"priority": str(entry["priority"])} if entry.get("priority") else {}
    status = _STATUSES.get(str(entry.get("status")), "pending")
    return {"content": str(entry["content"]), "status": status, **priority}
