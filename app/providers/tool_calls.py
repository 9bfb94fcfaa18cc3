"""The tool calls of one turn, from the call to its one result, for agents whose protocol names each call. Which tool does what
is the adapter's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.events import EventType
from app.domain.turn import ToolKind
from app.providers.outbox import Outbox

ResultStatus = Literal["ok", "error", "denied"]

TITLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call as `tool.call` shows it. `parent` is the call of the sub-agent that made it."""

    id: str
    name: str
    kind: ToolKind
    title: str
    input: Mapping[str, Any]
    parent: str | None = None


class ToolCalls:
    """Those that have no result yet. A call is told once and has one result, however often its agent speaks of it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._open: dict[str, ToolCall] = {}
        self._ended: set[str] = set()

    def call(self, call: ToolCall) -> None:
        if call.id in self._open or call.id in self._ended:
            return
        self._open[call.id] = call
        origin = {"parentToolCallId": call.parent} if call.parent else {}
        self._outbox.emit(
            EventType.TOOL_CALL,
            toolCallId=call.id,
            name=call.name,
            kind=call.kind,
            title=one_line(call.title),
            input=dict(call.input),
            **origin,
        )

    def find(self, id_: str) -> ToolCall | None:
        """Return an open call."""
        return self._open.get(id_)

    def output(self, id_: str, text: str) -> None:
        """Take a piece of what an open call prints."""
        if id_ in self._open and text:
            self._outbox.emit(EventType.TOOL_OUTPUT, toolCallId=id_, text=text)

    def result(self, id_: str, status: ResultStatus, output: str) -> None:
        if self._open.pop(id_, None) is not None:
            self._ended.add(id_)
            self._outbox.emit(EventType.TOOL_RESULT, toolCallId=id_, status=status, output=output)

    def close(self) -> None:
        """The turn is over; what has no result was cut off."""
        for id_ in list(self._open):
            self.result(id_, "error", "interrupted")


def one_line(title: str) -> str:
    line = " ".join(title.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"
