"""Events of a run: their types, the envelope, and which of them SQL must know first. SPEC §3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app import ids


class EventType(StrEnum):
    """The published types; a reader must take unknown ones as well."""

    RUN_STATUS = "run.status"
    RUN_STARTED = "run.started"
    CONTEXT_RESTORED = "context.restored"
    MESSAGE_DELTA = "message.delta"
    MESSAGE_STOP = "message.stop"
    THINKING_DELTA = "thinking.delta"
    THINKING_STOP = "thinking.stop"
    TOOL_CALL = "tool.call"
    TOOL_OUTPUT = "tool.output"
    TOOL_RESULT = "tool.result"
    TODO_UPDATE = "todo.update"
    HUMAN_LOOP_REQUESTED = "human_loop.requested"
    HUMAN_LOOP_RESOLVED = "human_loop.resolved"
    USAGE_UPDATE = "usage.update"
    WORKSPACE_SYNCED = "workspace.synced"
    WORKSPACE_SYNC_FAILED = "workspace.sync_failed"
    RUN_WARNING = "run.warning"
    RUN_FINISHED = "run.finished"
    RUN_CLOSED = "run.closed"


SQL_FIRST = frozenset(
    {
        EventType.RUN_STATUS,
        EventType.RUN_STARTED,
        EventType.CONTEXT_RESTORED,
        EventType.HUMAN_LOOP_REQUESTED,
        EventType.HUMAN_LOOP_RESOLVED,
        EventType.WORKSPACE_SYNCED,
        EventType.WORKSPACE_SYNC_FAILED,
        EventType.RUN_FINISHED,
        EventType.RUN_CLOSED,
    }
)
"""Types that change state: written to SQL with the row they describe before anybody sees them (decision 6)."""

NOT_STEERED = "not_steered"
"""The code of a `run.warning` about a message that a working agent did not get; its `commandId` names the message."""

DRIVER = "-"
"""The record part of `src` of an event that the driver made itself."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that has no place in the log yet. `ts` is POSIX seconds; `src` is `<attempt>:<record>`, or `<attempt>:-`
    for an event that the driver made itself."""

    type: str
    data: Mapping[str, Any]
    ts: float
    src: str


@dataclass(frozen=True, slots=True)
class Event:
    """One immutable line of a run's log."""

    run_id: str
    seq: int
    type: str
    data: Mapping[str, Any]
    ts: float
    src: str

    @property
    def attempt(self) -> int:
        return int(self.src.partition(":")[0])

    @property
    def record(self) -> int | None:
        """The journal record this event was made from; None where the driver made it."""
        record = self.src.partition(":")[2]
        return None if record == DRIVER else int(record)


def source(attempt: int, record: int | None = None) -> str:
    """Return the `src` of an event."""
    return f"{attempt}:{DRIVER if record is None else record}"


def envelope(event: Event, session_id: str, trace_id: str) -> dict[str, Any]:
    """Return the event as every client gets it."""
    return {
        "id": ids.event_id(event.run_id, event.seq),
        "runId": event.run_id,
        "sessionId": session_id,
        "seq": event.seq,
        "ts": ids.rfc3339_of(event.ts),
        "type": event.type,
        "attempt": event.attempt,
        "traceId": trace_id,
        "data": event.data,
    }
