"""The turns of a chat as messages in the form of AI SDK's UIMessage. Nothing here can be written by a client: what is shown is what the
events say. Beside AI SDK's own fields each part says where in the log it is (`seq`) and when it was (`ts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.events import Event, EventType
from app.domain.run_state import RunStatus
from app.ids import rfc3339_of
from app.models import AgentRun
from app.services.chat_pages import Turn
from web.projections.ui_message import INTERRUPTED

Part = dict[str, Any]

_STATES = {"ok": "output-available", "error": "output-error", "denied": "output-denied"}
_TEXTS = {EventType.MESSAGE_STOP: "text", EventType.THINKING_STOP: "reasoning"}


def messages_of(turns: Iterable[Turn], waiting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return for each turn what the person sent and, once it was begun, what the agent did. `waiting`: why runs wait, by id."""
    messages = []
    for turn in turns:
        run = turn.run
        if turn.begins:
            about = {
                "runId": run.id,
                "status": run.status,
                "createdAt": rfc3339_of(run.created_at),
                "userId": run.user_id,
            }
            sent = {"type": "text", "text": run.prompt}
            messages.append({"id": f"{run.id}_prompt", "role": "user", "parts": [sent], "metadata": about})
        parts = _parts(turn)
        if run.log_removed_at is not None and run.message:  # retention has left the final text alone
            parts = [{"type": "text", "text": run.message, "state": "done"}]
        if parts or run.status != RunStatus.QUEUED:
            about = _about(turn, waiting.get(run.id))
            messages.append({"id": run.id, "role": "assistant", "parts": parts, "metadata": about})
    return messages


def _about(turn: Turn, waiting: Any) -> dict[str, Any]:
    run = turn.run
    times = {"createdAt": run.created_at, "startedAt": run.started_at, "finishedAt": run.finished_at}
    facts = {
        "runId": run.id,
        "status": run.status,
        "firstSeq": turn.first_seq,
        "lastSeq": turn.last_seq,
        "begins": turn.begins,
        "ends": turn.ends,
        "provider": run.provider,
        "model": (run.launch or {}).get("model") or run.model,
        "attempt": run.attempt,
        "usage": run.usage,
        "waitingFor": waiting,
        "stopRequestedAt": rfc3339_of(run.stop_requested_at) if run.stop_requested_at else None,
        "stopReason": run.stop_reason,
        "failureCode": run.failure_code,
        "failureMessage": run.failure_message,
        "remedy": run.remedy,
        "retryable": None if run.retryable is None else bool(run.retryable),
        "logRemoved": run.log_removed_at is not None or None,
        **{name: rfc3339_of(at) for name, at in times.items() if at is not None},
    }
    return {name: value for name, value in facts.items() if value is not None}


def _parts(turn: Turn) -> list[Part]:
    parts: list[Part] = []
    tools: dict[str, Part] = {}
    for event in turn.events:
        data, place = event.data, {"seq": event.seq, "ts": rfc3339_of(event.ts)}
        if event.type == EventType.MESSAGE_STOP and data.get("role") == "user":
            parts.append({"type": "data-user-message", "id": data.get("messageId"), "data": data, **place})
        elif event.type in _TEXTS:
            shown = {"type": _TEXTS[EventType(event.type)], "text": data.get("text", ""), "state": "done"}
            parts.append({**shown, **_told(data, "truncated"), **place})
        elif event.type == EventType.TOOL_CALL:
            tools[str(data.get("toolCallId"))] = part = {**_tool(data, turn.run, event), **place}
            parts.append(part)
        elif event.type == EventType.TOOL_RESULT:
            _finish_tool(tools.get(str(data.get("toolCallId"))), event)
        else:
            parts.append({**_fact(event), **place})
    for call, result in turn.results.items():
        _finish_tool(tools.get(call), result)
    return parts


def _tool(data: Mapping[str, Any], run: AgentRun, event: Event) -> Part:
    """A call that has no result yet; one that will never have one was interrupted."""
    part = {
        "type": "dynamic-tool",
        "toolName": data.get("name") or "tool",
        "toolCallId": data.get("toolCallId"),
        "state": "input-available",
        "input": data.get("input"),
        **_told(data, "title", "kind", "parentToolCallId"),
    }
    if run.finished_at is not None or event.attempt < run.attempt:
        part |= {"state": "output-error", "errorText": INTERRUPTED}
    return part


def _finish_tool(part: Part | None, result: Event) -> None:
    if part is None:
        return
    data = result.data
    part.pop("errorText", None)
    part["state"] = _STATES.get(str(data.get("status")), "output-available")
    part["errorText" if part["state"] == "output-error" else "output"] = data.get("output")
    part |= {"resultSeq": result.seq, "endedAt": rfc3339_of(result.ts), **_told(data, "blobId", "truncated")}


def _fact(event: Event) -> Part:
    """What is neither text nor tool, as it is; of what an attempt began with also which attempt."""
    name = "data-" + event.type.replace(".", "-").replace("_", "-")
    part = {"type": name, "id": str(event.data.get("requestId") or event.seq), "data": event.data}
    return {**part, "attempt": event.attempt} if event.type == EventType.CONTEXT_RESTORED else part


def _told(data: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: data[name] for name in names if data.get(name) is not None}
