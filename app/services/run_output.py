"""How much of what an agent puts out goes into its run's log (docs/decisions/0011). PROMISES R15.

Single events are bounded always. Beyond the run's cap text is left out, the rest is shortened, and one warning says so. All of it
is a function of the journal's records and of what the run's row says since the attempt began, so every holder cuts at the same
record. Nothing here does I/O; ordering the executor to shed text is in `run_attempt`, ending an attempt in `run_limits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.domain.events import EventType
from app.domain.journal import Record
from app.domain.redaction import Redactor
from app.models import AgentRun

Made = tuple[str, Mapping[str, Any]]

EVENT_COST = 256
"""Bytes that an event takes in SQL and Redis beside its data, about."""
RECORD_COST = 80
"""The same for a record of the journal."""
JOURNAL_SHARE = 2
"""An attempt's journal may be this many times the log's cap before text is shed: what never gets into the log fills it too."""
TRUNCATED = "output_truncated"
_SHED = "shed:"

_TEXT = frozenset({EventType.MESSAGE_DELTA, EventType.THINKING_DELTA, EventType.THINKING_STOP, EventType.TOOL_OUTPUT})
_RESULT_COST = 32 * 1024  # more of a tool's output is in a blob


@dataclass(frozen=True, slots=True)
class Longest:
    """Characters that one event may carry. Of `output` there is a limit only beyond the cap: before it the rest is in a blob."""

    text: int = 64 * 1024
    message: int = 1024 * 1024
    argument: int = 256 * 1024
    output: int | None = None


BEFORE = Longest()
BEYOND = Longest(text=2048, message=32 * 1024, argument=2048, output=2048)


class RunOutput:
    """The meter of one attempt for one holder. `text_lines` are the beginnings of lines that carry text alone."""

    def __init__(self, run: AgentRun, cap: int, text_lines: Sequence[str], redactor: Redactor) -> None:
        launch = run.launch or {}
        self._cap, self._redactor = cap, redactor
        self._log_bytes = int(launch.get("logBytes") or 0)
        self._journal_bytes = 0
        self._warned = bool(launch.get("logCut"))
        self._text_lines = tuple(beginning.encode() for beginning in text_lines)
        self.text_lines = tuple(text_lines)
        self.shed_key = f"{_SHED}{run.attempt}"
        self.is_cut = self._log_bytes >= cap
        self.is_shed = False
        self.is_refused = False

    @property
    def awaits_shed(self) -> bool:
        """True from the cut until the executor's note that it leaves text out; never where it cannot."""
        return self.is_cut and not self.is_shed and not self.is_refused

    def leaves_out(self, record: Record) -> bool:
        """Count a record; True for one that nobody steps any more, because it is text and the log is cut."""
        self._journal_bytes += len(record.data) + RECORD_COST
        if (record.key or "").startswith(_SHED):
            self.is_shed = True
        return self.is_cut and record.kind == "out" and self._is_text(record.data)

    def admit(self, events: Sequence[Made]) -> tuple[Made, ...]:
        """Return what of a record's events is written, with the warning where the cap was reached."""
        found: list[Made] = []
        for kind, data in events:
            if self.is_cut and kind in _TEXT:
                continue
            fitted = self._fitted(kind, data)
            found.append((kind, fitted))
            self._count(kind, fitted)
        self.is_cut = self.is_cut or self._journal_bytes >= self._cap * JOURNAL_SHARE
        if self.is_cut and not self._warned:
            self._warned = True
            found.append((EventType.RUN_WARNING.value, {"code": TRUNCATED, "message": self._message()}))
        return tuple(found)

    def _fitted(self, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        longest = BEYOND if self.is_cut else BEFORE
        if _fit(kind, data, longest) is data:
            return data
        return _fit(kind, self._redactor.clean(data), longest)  # first: half a secret is not known as one

    def _count(self, kind: str, data: Mapping[str, Any]) -> None:
        size = _size(data)
        self._log_bytes += EVENT_COST + (min(size, _RESULT_COST) if kind == EventType.TOOL_RESULT else size)
        self.is_cut = self.is_cut or self._log_bytes >= self._cap

    def _is_text(self, data: bytes) -> bool:
        """The same rule as `executor.shedding.is_text`: what was on its way when the executor began is no exception."""
        return data.startswith(self._text_lines) or data.lstrip()[:1] not in (b"{", b"[")

    def _message(self) -> str:
        size = f"{self._cap // 2**20} MiB" if self._cap >= 2**20 else f"{self._cap} bytes"
        return (
            f"The agent has put out more than a run's log takes ({size}). From here on its text and the output of its tools are "
            "left out; calls, results (shortened), requests and the end are told."
        )


def _fit(kind: str, data: Mapping[str, Any], longest: Longest) -> Mapping[str, Any]:
    if kind in (EventType.MESSAGE_DELTA, EventType.THINKING_DELTA, EventType.TOOL_OUTPUT):
        return _cut(data, "text", longest.text)
    if kind in (EventType.MESSAGE_STOP, EventType.THINKING_STOP):
        return _cut(data, "text", longest.message)
    if kind == EventType.TOOL_RESULT and longest.output is not None:
        return _cut(data, "output", longest.output)
    if kind == EventType.TOOL_CALL and _size(data) > longest.argument:
        return _short_call(data, longest)
    return data


def _cut(data: Mapping[str, Any], name: str, most: int) -> Mapping[str, Any]:
    text = data.get(name)
    if not isinstance(text, str) or len(text) <= most:
        return data
    return {**data, name: f"{text[:most]}\n[… {len(text) - most} more characters were cut]", "truncated": True}


def _short_call(data: Mapping[str, Any], longest: Longest) -> Mapping[str, Any]:
    """A call keeps its short arguments whole; if they are too many, it keeps the beginning of all of them as text."""
    share = longest.argument // 8
    given = data.get("input")
    shown: Any = given
    if isinstance(given, Mapping):
        shown = {
            key: value[:share] + "…" if isinstance(value, str) and len(value) > share else value
            for key, value in given.items()
        }
        if _size(shown) > longest.argument:
            shown = {"cut": str(given)[:share]}
    title = data.get("title")
    title = title[:share] if isinstance(title, str) else title
    return {**data, "input": shown, "title": title, "truncated": True}


def _size(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return len(str(value))
