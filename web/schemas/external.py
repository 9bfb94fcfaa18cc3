"""External executors on the wire: binding a run, calling back, and the data of each event that an executor may report. SPEC §3, §4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from app.domain.events import EventType
from app.domain.external import is_reserved
from app.domain.failure import FailureCode
from app.errors import Invalid
from web.schemas.common import HIGHEST_SEQ, Id
from web.wire import Given, Shown, validate


def _moment(text: str) -> str:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None or at.year < 1971 or at.year > 9000:
        raise ValueError("Give an RFC 3339 time with its offset, for example 2026-01-31T12:00:00.000Z.")
    return text


def _own_event_id(text: str) -> str:
    if is_reserved(text):
        raise ValueError("This is the name of one of the platform's own commands; choose another, a UUID say.")
    return text


Moment = Annotated[str, Field(max_length=40), AfterValidator(_moment)]
EventId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[!-~]+$"), AfterValidator(_own_event_id)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Tokens = Annotated[int, Field(ge=0, le=HIGHEST_SEQ)]


class BindBody(Given):
    """Who will work on the run. A run id that nobody has yet is made a run of this session, with `prompt` as its message."""

    session_id: Id
    executor_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@/-]{1,128}$")]
    prompt: str = Field("", max_length=65_536)


class BindingView(Shown):
    """`token` opens the callbacks of this run alone, until it ends or another executor binds it; it is shown this once."""

    run_id: str
    session_id: str
    executor_id: str
    epoch: int
    token: str
    status: str
    trace_id: str
    silence_seconds: float


class CallbackBody(Given):
    """One event. `data` is that of the type as the log has it; the seq comes from the server."""

    event_id: EventId
    type: Annotated[str, Field(min_length=1, max_length=64)]
    ts: Moment
    data: dict[str, Any]


class AnswerView(Shown):
    """What a person answered: `reply` holds `decision` and `message`, or `answers` by question id."""

    request_id: str
    outcome: str
    by: str | None
    reply: dict[str, Any]


class CallbackView(Shown):
    """`seq` is the log's position once the callback took effect; until then it is left out: it is in the journal all the same."""

    event_id: str
    duplicate: bool
    run_status: str
    stop_requested: bool
    answers: list[AnswerView]
    seq: int | None = None


class BoundRunView(Shown):
    """What an executor is to know of its run: whether to stop, and every answer that people gave."""

    run_id: str
    session_id: str
    epoch: int
    run_status: str
    stop_requested: bool
    answers: list[AnswerView]
    last_seq: int


def answers_of(given: Iterable[Mapping[str, Any]]) -> list[AnswerView]:
    return [AnswerView.model_validate(dict(answer)) for answer in given]


# --- the data of events ------------------------------------------------------------------------------------------------------


class _Delta(Given):
    message_id: Name
    text: str
    role: Literal["assistant", "user", "system"] | None = None


class _ToolCall(Given):
    tool_call_id: Name
    name: Name
    kind: Literal["read", "edit", "execute", "search", "fetch", "think", "other"] = "other"
    title: str | None = Field(None, max_length=2000)
    input: Any = None
    parent_tool_call_id: Name | None = None


class _ToolOutput(Given):
    tool_call_id: Name
    text: str


class _ToolResult(Given):
    tool_call_id: Name
    status: Literal["ok", "error", "denied"]
    output: str = ""


class _TodoItem(Given):
    id: Name
    content: str
    status: Literal["pending", "in_progress", "completed"]
    priority: str | None = Field(None, max_length=50)


class _Todos(Given):
    todos: list[_TodoItem] = Field(max_length=1000)


class _Choice(Given):
    label: Name
    description: str | None = None


class _Question(Given):
    id: Name
    question: Annotated[str, Field(min_length=1)]
    header: str | None = None
    options: list[_Choice] | None = Field(None, max_length=100)
    multiple: bool | None = None


class _Tool(Given):
    name: Name
    input: dict[str, Any] = Field(default_factory=dict)


class _Requested(Given):
    request_id: RequestId
    kind: Literal["question", "approval"]
    title: Annotated[str, Field(min_length=1, max_length=2000)]
    questions: list[_Question] | None = Field(None, max_length=50)
    options: list[str] | None = Field(None, max_length=50)
    tool_call: _Tool | None = None
    tool_call_id: Name | None = None
    deadline_at: Moment | None = None
    rule: str | None = Field(None, max_length=500)


class _Resolved(Given):
    request_id: RequestId
    outcome: Literal["answered", "superseded", "canceled", "expired"]
    by: str | None = Field(None, max_length=200)
    reply: dict[str, Any] | None = None
    delivery: Literal["live", "resumed"] | None = None


class _Usage(Given):
    input: Tokens | None = None
    output: Tokens | None = None
    cache_read: Tokens | None = None
    cache_write5m: Tokens | None = Field(None, alias="cacheWrite5m")
    cache_write1h: Tokens | None = Field(None, alias="cacheWrite1h")
    reasoning: Tokens | None = None
    cost_usd: float | None = Field(None, ge=0, le=1e9)


class _Warning(Given):
    code: Name
    message: str


class _Finished(Given):
    status: Literal["succeeded", "failed", "canceled"]
    stop_reason: str | None = Field(None, max_length=500)
    usage: _Usage | None = None
    failure_code: Literal[tuple(str(code) for code in FailureCode)] | None = None  # type: ignore[valid-type]
    message: str | None = Field(None, max_length=10_000)
    remedy: str | None = Field(None, max_length=2000)


DATA: dict[str, type[Given]] = {
    EventType.MESSAGE_DELTA: _Delta,
    EventType.MESSAGE_STOP: _Delta,
    EventType.THINKING_DELTA: _Delta,
    EventType.THINKING_STOP: _Delta,
    EventType.TOOL_CALL: _ToolCall,
    EventType.TOOL_OUTPUT: _ToolOutput,
    EventType.TOOL_RESULT: _ToolResult,
    EventType.TODO_UPDATE: _Todos,
    EventType.HUMAN_LOOP_REQUESTED: _Requested,
    EventType.HUMAN_LOOP_RESOLVED: _Resolved,
    EventType.USAGE_UPDATE: _Usage,
    EventType.RUN_WARNING: _Warning,
    EventType.RUN_FINISHED: _Finished,
}
"""What an executor may report. The other types are written by the worker alone: they describe what the platform itself did."""


def data_of(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the data as the log will have it; raises Invalid `callback_type_refused`, `validation_failed`."""
    model = DATA.get(kind)
    if model is None:
        known = ", ".join(sorted(DATA))
        raise Invalid("callback_type_refused", f"An executor reports one of: {known}.")
    read = validate(model, data)
    if isinstance(read, _Requested) and read.kind == "question" and not read.questions:
        raise Invalid(
            "validation_failed",
            "A question needs `questions`.",
            errors=[{"field": "questions", "message": "Missing: each with `id` and `question`."}],
        )
    shown: dict[str, Any] = read.model_dump(by_alias=True, exclude_none=True)
    if kind in (EventType.MESSAGE_DELTA, EventType.MESSAGE_STOP, EventType.THINKING_DELTA, EventType.THINKING_STOP):
        shown.setdefault("role", "assistant")
    return shown
