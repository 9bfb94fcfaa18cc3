"""A session's runs and their events as the messages of a chat, in the form of AI SDK's UIMessage. Nothing here can be written
by a client: what is shown is what the events say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.events import EventType
from app.models import AgentRun, RunEvent

Part = dict[str, Any]

_STATES = {"ok": "output-available", "error": "output-error", "denied": "output-denied"}


def messages_of(runs: Iterable[AgentRun], events: Iterable[RunEvent]) -> list[dict[str, Any]]:
    """Return for each run what the person sent and, when there is something, what the agent did."""
    by_run: dict[str, list[RunEvent]] = {}
    for event in events:
        by_run.setdefault(event.run_id, []).append(event)
    messages = []
    for run in runs:
        about = {"runId": run.id, "status": run.status, "failureCode": run.failure_code, "remedy": run.remedy}
        metadata = {name: value for name, value in about.items() if value is not None}
        sent = {"type": "text", "text": run.prompt}
        messages.append({"id": f"{run.id}_prompt", "role": "user", "parts": [sent], "metadata": {"runId": run.id}})
        parts = _parts(by_run.get(run.id, []))
        if run.log_removed_at is not None and run.message:  # retention has left the final text alone
            parts = [{"type": "text", "text": run.message, "state": "done"}]
        if parts or run.finished_at is not None:
            messages.append({"id": run.id, "role": "assistant", "parts": parts, "metadata": metadata})
    return messages


def _parts(events: Iterable[RunEvent]) -> list[Part]:
    parts: list[Part] = []
    tools: dict[str, Part] = {}
    for event in events:
        data = event.data
        if event.type == EventType.MESSAGE_STOP:
            parts.append({"type": "text", "text": data.get("text", ""), "state": "done"})
        elif event.type == EventType.THINKING_STOP:
            parts.append({"type": "reasoning", "text": data.get("text", ""), "state": "done"})
        elif event.type == EventType.TOOL_CALL:
            tools[str(data.get("toolCallId"))] = part = _tool(data)
            parts.append(part)
        elif event.type == EventType.TOOL_RESULT:
            _finish_tool(tools.get(str(data.get("toolCallId"))), data)
        else:
            parts.append({"type": "data-" + event.type.replace(".", "-").replace("_", "-"), "data": data})
    return parts


def _tool(data: Mapping[str, Any]) -> Part:
    return {
        "type": "dynamic-tool",
        "toolName": data.get("name") or "tool",
        "toolCallId": data.get("toolCallId"),
        "title": data.get("title"),
        "state": "input-available",
        "input": data.get("input"),
    }


def _finish_tool(part: Part | None, data: Mapping[str, Any]) -> None:
    if part is None:
        return
    part["state"] = _STATES.get(str(data.get("status")), "output-available")
    part["errorText" if part["state"] == "output-error" else "output"] = data.get("output")
