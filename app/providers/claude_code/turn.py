"""One attempt of Claude Code, stepped record by record: which line means what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain import jsontext
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import CONTINUE_MESSAGE, Launch, SendInput
from app.providers.agent_turn import AgentTurn
from app.providers.asking import Request
from app.providers.claude_code import wire
from app.providers.claude_code.blocks import Blocks
from app.providers.claude_code.endings import failure_of_result, failure_of_words
from app.providers.claude_code.identity import continue_uuid, prompt_uuid
from app.providers.claude_code.queue import Queue
from app.providers.claude_code.tools import Tools, kind_of, questions_of, title_of
from app.providers.claude_code.usage import Usage

INITIALIZE = "initialize"
USAGE = "usage"
INTERRUPT = "interrupt"


class ClaudeCodeTurn(AgentTurn):
    """See the module."""

    _queue: Queue

    def __init__(self, launch: Launch) -> None:
        super().__init__(launch, encode=wire.reply, classify=failure_of_words)
        self._blocks = Blocks(launch, self._outbox)
        self._tools = Tools(self._outbox)
        self._usage = Usage(self._outbox)
        self._queue = Queue(launch, self._outbox, self._send)
        self._usage_asked = 0
        self._begun = False
        self._lines: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "system": self._on_system,
            "stream_event": self._on_stream_event,
            "assistant": self._on_assistant,
            "user": self._on_user,
            "control_request": self._on_request,
            "control_response": self._on_response,
            "control_cancel_request": self._on_cancel,
            "command_lifecycle": self._on_lifecycle,
            "result": self._on_result,
        }

    # --- what the platform says

    def _on_spawn(self) -> None:
        self._send(INITIALIZE, wire.request(self._request_id(INITIALIZE), "initialize", hooks=None))
        self._ask_usage()
        resume = self._launch.resume
        if resume is not None and resume.has_prompt:
            self._continue()
        else:
            self._send("prompt", wire.user_message(self._launch.prompt, prompt_uuid(self._launch.run_id)))

    def _continue(self) -> None:
        message = self._launch.resume.message if self._launch.resume else CONTINUE_MESSAGE
        self._send("continue", wire.user_message(message, continue_uuid(self._launch)))

    def _interrupt(self, number: int = 1) -> None:
        key = f"{INTERRUPT}:{number}"
        self._send(key, wire.request(self._request_id(key), "interrupt"))

    def _ask_usage(self) -> None:
        self._usage_asked += 1
        key = f"{USAGE}:{self._usage_asked}"
        self._send(key, wire.request(self._request_id(key), "get_usage"))

    def _request_id(self, name: str) -> str:
        return f"paddock:{self._launch.attempt}:{name}"

    def _send(self, name: str, line: bytes) -> None:
        self._outbox.intend(SendInput(f"{name}:{self._launch.attempt}", line))

    # --- what the agent says

    def _on_line(self, data: bytes) -> None:
        if self._outbox.finished:
            return
        line: Any = None
        try:
            line = jsontext.parse(data)
            handler = self._lines.get(line["type"])
            if handler is not None:  # other types are progress and book-keeping of the CLI
                handler(line)
        except (ValueError, TypeError, KeyError, AttributeError):
            self._outbox.warn_once("output_unreadable", "The agent wrote a line that is not of its protocol.")
            self._on_unreadable(line)

    def _on_unreadable(self, line: Any) -> None:
        """A line that somebody waits for must be answered even where it is not understood: else the run would never end."""
        if not isinstance(line, dict):
            return
        if line.get("type") == "control_request" and line.get("request_id"):
            request_id = str(line["request_id"])
            self._send(
                f"refusal:{request_id}", wire.refusal(request_id, "This client does not understand the request.")
            )
        elif line.get("type") == "result":
            failure = Failure(FailureCode.AGENT_ERROR, "The agent ended its turn in a way that is not understood.")
            self._outbox.finish(RunStatus.FAILED, "error", failure)

    def _on_system(self, line: Mapping[str, Any]) -> None:
        match line.get("subtype"):
            case "init":
                self._outbox.confirm(str(line["session_id"]))
                self._queue.open()
                if self._stopped:  # the stop came before there was a turn to interrupt
                    self._interrupt(2)
            case "api_retry":
                status = line.get("error_status") or "no answer"
                self._outbox.warn_once(
                    "api_retry", f"The model's address did not serve a call ({status}); it is retried."
                )
            case "compact_boundary":
                self._outbox.warn_once("context_compacted", "The conversation was long; the agent summarised it.")

    def _on_lifecycle(self, line: Mapping[str, Any]) -> None:
        """A prompt whose uuid the conversation holds already is dropped, and no result would ever come: it is completed
        without having been started."""
        if line.get("command_uuid") != prompt_uuid(self._launch.run_id):
            self._queue.on_lifecycle(line)
            return
        if line.get("state") == "started":
            self._begun = True
        elif line.get("state") == "completed" and not self._begun and not self._stopped:
            self._continue()

    def _on_stream_event(self, line: Mapping[str, Any]) -> None:
        if line.get("parent_tool_use_id"):
            return  # what sub-agents say is their tool call's result
        self._spoke = True
        event = line["event"]
        self._blocks.on_stream_event(event)
        if event.get("type") == "message_stop":
            self._ask_usage()

    def _on_assistant(self, line: Mapping[str, Any]) -> None:
        if line.get("error"):
            return  # the CLI's own words about a failed call; the result repeats them
        self._spoke = True
        parent = line.get("parent_tool_use_id")
        for block in line["message"]["content"]:
            match block.get("type"):
                case "text" | "thinking" as kind if not parent:
                    self._blocks.on_block(kind, str(block.get(kind) or ""))
                case "tool_use":
                    self._tools.on_call(block, parent)

    def _on_user(self, line: Mapping[str, Any]) -> None:
        content = line["message"]["content"]
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_result":
                self._tools.on_result(block, line)

    def _on_request(self, line: Mapping[str, Any]) -> None:
        request_id, request = str(line["request_id"]), line["request"]
        if request.get("subtype") != "can_use_tool":
            refusal = wire.refusal(request_id, "This client does not serve such requests.")
            self._send(f"refusal:{request_id}", refusal)
        elif not self._stopped:
            self._asking.ask(_request_of(request_id, request))

    def _on_response(self, line: Mapping[str, Any]) -> None:
        response = line["response"]
        if str(response.get("request_id")).startswith(self._request_id(USAGE)):
            self._usage.on_answer(response.get("response") or {})

    def _on_cancel(self, line: Mapping[str, Any]) -> None:
        self._asking.withdraw(str(line["request_id"]))

    def _on_result(self, line: Mapping[str, Any]) -> None:
        """The end of the turn, unless a message waits that the CLI goes on with by itself."""
        self._blocks.close()
        self._tools.close()
        self._asking.cancel_all(None)
        self._usage.on_result(line)
        if self._stopped:
            self._outbox.finish(RunStatus.CANCELED, "stopped")
        elif line.get("subtype") == "success" and not line.get("is_error") and self._queue.is_waiting:
            return
        elif line.get("is_error") or line.get("subtype") != "success":
            reason, failure = failure_of_result(line)
            self._outbox.finish(RunStatus.FAILED, reason, failure)
        else:
            self._outbox.finish(RunStatus.SUCCEEDED, str(line.get("stop_reason") or "end_turn"))


def _request_of(request_id: str, request: Mapping[str, Any]) -> Request:
    name, given = str(request["tool_name"]), request.get("input") or {}
    questions = questions_of(given) if name == "AskUserQuestion" else ()
    return Request(
        id=request_id,
        kind="question" if questions else "approval",
        title=str(questions[0]["question"]) if questions else title_of(name, given),
        tool=name,
        tool_kind=kind_of(name),
        input=given,
        tool_call_id=request.get("tool_use_id"),
        questions=questions,
    )
