"""A run's events as an AI SDK UI message stream (version 1): one table from event types to chunks.

Readers of that protocol are strict: a part must be begun before it goes on, and a chunk may hold no key it does not know. So
the projection remembers which parts are open, gives the facts that have no chunk of their own as `data-…` parts, and closes
whatever an interrupted attempt left open. The same events always give the same chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.events import Event, EventType

Chunk = dict[str, Any]
Data = Mapping[str, Any]

USER_MESSAGE = "user.message"
"""Names the part of what a person told the agent while it worked: `data-user-message`."""
INTERRUPTED = "The attempt was interrupted before this tool was done."


class UiMessageStream:
    """One reader's projection. Feed it all events from 1, in order."""

    def __init__(self) -> None:
        self._started = False
        self._in_step = False
        self._texts: dict[str, str] = {}
        self._tools: set[str] = set()
        self._table: dict[str, Callable[[Data], list[Chunk]]] = {
            EventType.RUN_STARTED: self._run_started,
            EventType.MESSAGE_DELTA: lambda data: self._delta("text", data),
            EventType.MESSAGE_STOP: self._message,
            EventType.THINKING_DELTA: lambda data: self._delta("reasoning", data),
            EventType.THINKING_STOP: lambda data: self._stop("reasoning", data),
            EventType.TOOL_CALL: self._tool_call,
            EventType.TOOL_OUTPUT: lambda data: [{**_fact(EventType.TOOL_OUTPUT, data), "transient": True}],
            EventType.TOOL_RESULT: self._tool_result,
            EventType.TODO_UPDATE: lambda data: [_fact(EventType.TODO_UPDATE, data, "todos")],
            EventType.USAGE_UPDATE: lambda data: [_fact(EventType.USAGE_UPDATE, data, "usage")],
            EventType.RUN_STATUS: lambda data: [_fact(EventType.RUN_STATUS, data, "status")],
            EventType.HUMAN_LOOP_REQUESTED: self._requested,
            EventType.HUMAN_LOOP_RESOLVED: self._resolved,
            EventType.RUN_FINISHED: self._finished,
            EventType.RUN_CLOSED: lambda _: [],
        }

    def project(self, event: Event) -> list[Chunk]:
        """Return the chunks of one event; a type that is not in the table is a `data-…` part of its own name."""
        begin: list[Chunk] = []
        if not self._started:
            self._started = True
            begin = [{"type": "start", "messageId": event.run_id, "messageMetadata": {"runId": event.run_id}}]
        make = self._table.get(event.type)
        return begin + (make(event.data) if make else [_fact(event.type, event.data)])

    # --- parts ---------------------------------------------------------------------------------------------------------------

    def _run_started(self, data: Data) -> list[Chunk]:
        chunks = self._close_parts()
        if self._in_step:
            chunks.append({"type": "finish-step"})
        self._in_step = True
        return [*chunks, {"type": "start-step"}, _fact(EventType.RUN_STARTED, data)]

    def _delta(self, kind: str, data: Data) -> list[Chunk]:
        part = _part_id(kind, data)
        chunks: list[Chunk] = [] if part in self._texts else [{"type": f"{kind}-start", "id": part}]
        self._texts[part] = kind
        return [*chunks, {"type": f"{kind}-delta", "id": part, "delta": data.get("text", "")}]

    def _message(self, data: Data) -> list[Chunk]:
        """What a person said meanwhile is no text of the agent's."""
        if data.get("role") == "user":
            return [_fact(USER_MESSAGE, data, str(data.get("messageId")))]
        return self._stop("text", data)

    def _stop(self, kind: str, data: Data) -> list[Chunk]:
        part = _part_id(kind, data)
        chunks = [] if part in self._texts else self._delta(kind, data)
        del self._texts[part]
        return [*chunks, {"type": f"{kind}-end", "id": part}]

    def _tool_call(self, data: Data) -> list[Chunk]:
        call = str(data.get("toolCallId"))
        self._tools.add(call)
        about = {name: data[name] for name in ("title", "kind", "parentToolCallId") if data.get(name) is not None}
        chunk = {
            "type": "tool-input-available",
            "toolCallId": call,
            "toolName": str(data.get("name") or "tool"),
            "input": data.get("input"),
            "dynamic": True,
        }
        return [{**chunk, "providerMetadata": {"paddock": about}} if about else chunk]

    def _tool_result(self, data: Data) -> list[Chunk]:
        call = str(data.get("toolCallId"))
        if call not in self._tools:
            return [_fact(EventType.TOOL_RESULT, data)]
        self._tools.discard(call)
        if data.get("status") == "denied":
            return [{"type": "tool-output-denied", "toolCallId": call}]
        if data.get("status") == "error":
            return [_tool_error(call, str(data.get("output") or "The tool failed."))]
        return [{"type": "tool-output-available", "toolCallId": call, "output": data.get("output"), "dynamic": True}]

    # --- people ----------------------------------------------------------------------------------------------------------------

    def _requested(self, data: Data) -> list[Chunk]:
        fact = _fact(EventType.HUMAN_LOOP_REQUESTED, data, str(data.get("requestId")))
        call = str(data.get("toolCallId"))
        if data.get("kind") != "approval" or call not in self._tools:
            return [fact]
        return [fact, {"type": "tool-approval-request", "approvalId": str(data.get("requestId")), "toolCallId": call}]

    def _resolved(self, data: Data) -> list[Chunk]:
        return [_fact(EventType.HUMAN_LOOP_RESOLVED, data, str(data.get("requestId")))]

    # --- the end -----------------------------------------------------------------------------------------------------------------

    def _finished(self, data: Data) -> list[Chunk]:
        chunks = self._close_parts()
        if self._in_step:
            chunks.append({"type": "finish-step"})
        self._in_step = False
        chunks.append(_fact(EventType.RUN_FINISHED, data))
        status = data.get("status")
        if status == "canceled":
            chunks.append({"type": "abort"})
        elif status != "succeeded":
            text = data.get("message") or data.get("remedy") or data.get("failureCode") or "The run did not succeed."
            chunks.append({"type": "error", "errorText": str(text)})
        metadata = {name: data[name] for name in ("status", "usage", "failureCode", "remedy") if name in data}
        return [*chunks, {"type": "finish", "messageMetadata": metadata}]

    def _close_parts(self) -> list[Chunk]:
        ends: list[Chunk] = [{"type": f"{kind}-end", "id": part} for part, kind in self._texts.items()]
        ends += [_tool_error(call, INTERRUPTED) for call in sorted(self._tools)]
        self._texts.clear()
        self._tools.clear()
        return ends


def _part_id(kind: str, data: Data) -> str:
    """A message and its thinking may share an id; parts may not."""
    message = str(data.get("messageId"))
    return message if kind == "text" else f"{message}:{kind}"


def _tool_error(call: str, text: str) -> Chunk:
    return {"type": "tool-output-error", "toolCallId": call, "errorText": text, "dynamic": True}


def _fact(event_type: str, data: Data, part: str | None = None) -> Chunk:
    """Return a `data-…` part; a later one with the same `part` takes its place at the reader's."""
    name = "data-" + str(event_type).replace(".", "-").replace("_", "-")
    return {"type": name, **({"id": part} if part else {}), "data": dict(data)}
