"""The events of a run as clients get them, typed: the table of SPEC §3. What is here describes; a log is told as it is, and readers must
take types, and fields, that they do not know."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel
from pydantic.alias_generators import to_camel

from web.schemas.common import ShownAs, ToolKind
from web.schemas.human_loop import AskedCall, Question, RequestReply
from web.schemas.runs import Capability, FailureCode, Status, TodoItem, Usage
from web.wire import Shown

Camel = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="allow")


class _Data(Shown):
    model_config = Camel


class RunStatusData(_Data):
    status: Status
    reason: str | None = None


class RunStartedData(_Data):
    provider: str
    model: str | None = None
    attempt: int
    capabilities: dict[Capability, bool]


class ContextRestoredData(_Data):
    mode: Literal["fresh", "native_resume", "history_replay"]


class TextDeltaData(_Data):
    """`truncated`: more was said than an event carries."""

    message_id: str
    role: Literal["assistant", "user", "system"] | None = None
    text: str
    truncated: bool | None = None


class TextStopData(TextDeltaData):
    """`text` is the whole."""


class MessageStopData(TextStopData):
    """With role `user`: what a person (`by`) told the agent while it worked, by the command that `POST …/input` answered."""

    command_id: str | None = None
    by: str | None = None


class ToolCallData(_Data):
    """`parentToolCallId`: the call of the sub-agent that made this one."""

    tool_call_id: str
    name: str
    kind: ToolKind = "other"
    title: str | None = None
    input: Any = None
    parent_tool_call_id: str | None = None
    truncated: bool | None = None


class ToolOutputData(_Data):
    tool_call_id: str
    text: str
    truncated: bool | None = None


class ToolResultData(_Data):
    """`output` is cut at 32 KiB; the whole is the blob."""

    tool_call_id: str
    status: Literal["ok", "error", "denied"]
    output: Any = None
    blob_id: str | None = None
    truncated: bool | None = None


class TodoUpdateData(_Data):
    """The whole list."""

    todos: list[TodoItem]


class HumanLoopRequestedData(_Data):
    request_id: str
    kind: Literal["question", "approval"]
    title: str
    questions: list[Question] | None = None
    options: list[str] | None = None
    tool_call: AskedCall | None = None
    tool_call_id: str | None = None
    deadline_at: str | None = None
    rule: str | None = None


class HumanLoopResolvedData(_Data):
    request_id: str
    outcome: Literal["answered", "expired", "superseded", "canceled"]
    by: str | None = None
    reply: RequestReply | None = None
    delivery: Literal["live", "resumed"] | None = None


class UsageUpdateData(Usage):
    """Cumulative."""


class WorkspaceSyncedData(_Data):
    snapshot_id: str
    reason: str
    files_changed: int
    bytes_sent: int
    seconds: float


class WorkspaceSyncFailedData(_Data):
    error: str
    retry_at: str | None = None


class RunWarningData(_Data):
    """`commandId`: of the message that a working agent did not get (`not_steered`)."""

    code: str
    message: str
    command_id: str | None = None


class RunFinishedData(_Data):
    status: Status
    stop_reason: str | None = None
    usage: Usage | None = None
    failure_code: FailureCode | None = None
    message: str | None = None
    remedy: str | None = None


class RunClosedData(_Data):
    """Nothing: it is the last event."""


class _Envelope(Shown):
    """What all events have. `seq` counts from 1 without gaps and is the cursor; `attempt` is 0 before the first one."""

    id: str
    run_id: str
    session_id: str
    seq: int
    ts: str
    attempt: int
    trace_id: str


class RunStatusEvent(_Envelope):
    type: Literal["run.status"]
    data: RunStatusData


class RunStartedEvent(_Envelope):
    type: Literal["run.started"]
    data: RunStartedData


class ContextRestoredEvent(_Envelope):
    type: Literal["context.restored"]
    data: ContextRestoredData


class MessageDeltaEvent(_Envelope):
    type: Literal["message.delta"]
    data: TextDeltaData


class MessageStopEvent(_Envelope):
    type: Literal["message.stop"]
    data: MessageStopData


class ThinkingDeltaEvent(_Envelope):
    type: Literal["thinking.delta"]
    data: TextDeltaData


class ThinkingStopEvent(_Envelope):
    type: Literal["thinking.stop"]
    data: TextStopData


class ToolCallEvent(_Envelope):
    type: Literal["tool.call"]
    data: ToolCallData


class ToolOutputEvent(_Envelope):
    type: Literal["tool.output"]
    data: ToolOutputData


class ToolResultEvent(_Envelope):
    type: Literal["tool.result"]
    data: ToolResultData


class TodoUpdateEvent(_Envelope):
    type: Literal["todo.update"]
    data: TodoUpdateData


class HumanLoopRequestedEvent(_Envelope):
    type: Literal["human_loop.requested"]
    data: HumanLoopRequestedData


class HumanLoopResolvedEvent(_Envelope):
    type: Literal["human_loop.resolved"]
    data: HumanLoopResolvedData


class UsageUpdateEvent(_Envelope):
    type: Literal["usage.update"]
    data: UsageUpdateData


class WorkspaceSyncedEvent(_Envelope):
    type: Literal["workspace.synced"]
    data: WorkspaceSyncedData


class WorkspaceSyncFailedEvent(_Envelope):
    type: Literal["workspace.sync_failed"]
    data: WorkspaceSyncFailedData


class RunWarningEvent(_Envelope):
    type: Literal["run.warning"]
    data: RunWarningData


class RunFinishedEvent(_Envelope):
    type: Literal["run.finished"]
    data: RunFinishedData


class RunClosedEvent(_Envelope):
    type: Literal["run.closed"]
    data: RunClosedData


AnyEvent = Annotated[
    RunStatusEvent
    | RunStartedEvent
    | ContextRestoredEvent
    | MessageDeltaEvent
    | MessageStopEvent
    | ThinkingDeltaEvent
    | ThinkingStopEvent
    | ToolCallEvent
    | ToolOutputEvent
    | ToolResultEvent
    | TodoUpdateEvent
    | HumanLoopRequestedEvent
    | HumanLoopResolvedEvent
    | UsageUpdateEvent
    | WorkspaceSyncedEvent
    | WorkspaceSyncFailedEvent
    | RunWarningEvent
    | RunFinishedEvent
    | RunClosedEvent,
    Field(discriminator="type"),
]
"""Told apart by `type`."""


class RunEvent(RootModel[AnyEvent]):
    """An event of a run's log, told apart by `type`. There will be more types: take what you do not know."""


class EventPage(Shown):
    """Events in their order. `nextCursor` is always there while the log is open: ask again with it. `previousCursor`, of a page that was
    asked for with `before`, is the `before` of the page that comes before it; left out at the log's beginning."""

    items: list[Annotated[dict[str, Any], ShownAs(RunEvent)]]
    next_cursor: str | None
    previous_cursor: str | None = None
