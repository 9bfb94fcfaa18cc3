"""The messages of a chat, typed: AI SDK's UIMessage with what a run's log adds. They are made in `web.projections.messages`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from web.schemas.common import ToolKind
from web.schemas.events import (
    ContextRestoredData,
    HumanLoopRequestedData,
    HumanLoopResolvedData,
    MessageStopData,
    RunWarningData,
    WorkspaceSyncFailedData,
)
from web.schemas.runs import FailureCode, Status, Usage, WaitingFor
from web.wire import Shown


class _Placed(Shown):
    """Where in the run's log it is, and when it was."""

    seq: int
    ts: str


class PromptPart(Shown):
    """What somebody sent."""

    type: Literal["text"]
    text: str


class TextPart(Shown):
    """`truncated`: more was said than an event carries. A run whose log was removed has its final text alone, without a place."""

    type: Literal["text"]
    text: str
    state: Literal["done"]
    truncated: bool | None = None
    seq: int | None = None
    ts: str | None = None


class ReasoningPart(_Placed):
    type: Literal["reasoning"]
    text: str
    state: Literal["done"]
    truncated: bool | None = None


class ToolPart(_Placed):
    """A call and, once there is one, its result (`resultSeq`, `endedAt`). `blobId` names the whole of a long output."""

    type: Literal["dynamic-tool"]
    tool_name: str
    tool_call_id: str
    state: Literal["input-available", "output-available", "output-error", "output-denied"]
    input: Any = None
    output: Any = None
    error_text: str | None = None
    title: str | None = None
    kind: ToolKind | None = None
    parent_tool_call_id: str | None = None
    result_seq: int | None = None
    ended_at: str | None = None
    blob_id: str | None = None
    truncated: bool | None = None


class RequestedPart(_Placed):
    type: Literal["data-human-loop-requested"]
    id: str
    data: HumanLoopRequestedData


class ResolvedPart(_Placed):
    type: Literal["data-human-loop-resolved"]
    id: str
    data: HumanLoopResolvedData


class UserMessagePart(_Placed):
    """What a person told the agent while it worked."""

    type: Literal["data-user-message"]
    id: str
    data: MessageStopData


class WarningPart(_Placed):
    type: Literal["data-run-warning"]
    id: str
    data: RunWarningData


class RestoredPart(_Placed):
    """What an attempt knows of the conversation before it."""

    type: Literal["data-context-restored"]
    id: str
    attempt: int
    data: ContextRestoredData


class SyncFailedPart(_Placed):
    type: Literal["data-workspace-sync-failed"]
    id: str
    data: WorkspaceSyncFailedData


class ChatPart(
    RootModel[
        Annotated[
            TextPart
            | ReasoningPart
            | ToolPart
            | RequestedPart
            | ResolvedPart
            | UserMessagePart
            | WarningPart
            | RestoredPart
            | SyncFailedPart,
            Field(discriminator="type"),
        ]
    ]
):
    """A part of what a run did, told apart by `type`."""


class PromptMetadata(Shown):
    """Of a message that somebody sent: `status` is its run's."""

    run_id: str
    status: Status
    created_at: str
    user_id: str


class AnswerMetadata(Shown):
    """Of a run: the message is its log from `firstSeq` to `lastSeq`; a run at work is followed from there (`stream?cursor=lastSeq`). Not
    `begins`, or not `ends`: the rest of it is on the page before, or after."""

    run_id: str
    status: Status
    first_seq: int
    last_seq: int
    begins: bool
    ends: bool
    provider: str
    model: str | None = None
    attempt: int
    usage: Usage
    waiting_for: WaitingFor | None = None
    stop_requested_at: str | None = None
    stop_reason: str | None = None
    failure_code: FailureCode | None = None
    failure_message: str | None = None
    remedy: str | None = None
    retryable: bool | None = None
    log_removed: bool | None = None
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None


class PromptMessage(Shown):
    """What somebody sent."""

    id: str
    role: Literal["user"]
    parts: list[PromptPart]
    metadata: PromptMetadata


class AnswerMessage(Shown):
    """What a run did; `id` is the run's."""

    id: str
    role: Literal["assistant"]
    parts: list[ChatPart]
    metadata: AnswerMetadata


class ChatMessage(RootModel[Annotated[PromptMessage | AnswerMessage, Field(discriminator="role")]]):
    """A message of a chat, told apart by `role`."""
