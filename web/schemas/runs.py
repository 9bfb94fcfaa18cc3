"""Runs on the wire: creation, the run itself, its queue place, events and todos. SPEC §4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from flask import has_app_context
from pydantic import Field, model_validator

from app.domain.run_state import RunStatus
from app.models import AgentRun
from app.services.waiting_reason import waiting_for
from web.parts import parts
from web.schemas.common import HIGHEST_SEQ, Id, PageQuery, ShownAs, when
from web.wire import Asked, Given, Shown

LONGEST_PROMPT = 512 * 1024
"""Characters; the body's limit comes first where it is lower."""

Status = Literal["queued", "claimed", "running", "waiting_human", "succeeded", "failed", "canceled", "blocked"]
FailureCode = Literal[
    "agent_error",
    "provider_no_output",
    "auth_missing",
    "model_invalid",
    "capability_missing",
    "required_paths_missing",
    "setup_failed",
    "timed_out",
    "budget_exceeded",
    "sandbox_lost",
    "worker_lost",
    "poison",
    "transport_error",
    "incomplete",
]
FailureClass = Literal["data_issue", "execution_issue", "cost_issue", "spec_issue", "tool_issue"]
Capability = Literal[
    "stream", "stop", "resume", "humanLoop", "questions", "todo", "usage", "fork", "steering", "images"
]


class Repo(Given):
    """Where a new session's workspace comes from: an uploaded bundle or an address."""

    url: str | None = Field(None, max_length=2048)
    bundle_id: Id | None = None
    ref: str | None = Field(None, min_length=1, max_length=255)

    @model_validator(mode="after")
    def _one_source(self) -> Repo:
        if (self.url is None) == (self.bundle_id is None):
            raise ValueError("Give exactly one of url and bundleId.")
        return self


class ProviderOptions(Given):
    """Wishes to the provider, never looser than the policy."""

    approval: Literal["ask", "edits", "all"] | None = None
    resume: bool | None = None
    tools: list[Annotated[str, Field(max_length=128)]] | None = Field(None, max_length=200)
    cwd: str | None = Field(None, max_length=4096)
    profile: str | None = Field(None, max_length=128)
    sandbox: Literal["local"] | None = None
    store_app_id: Id | None = None


class Budget(Given):
    max_tokens: int | None = Field(None, ge=1, le=HIGHEST_SEQ)
    max_cost_usd: float | None = Field(None, gt=0, le=1e6)
    max_seconds: float | None = Field(None, gt=0, le=31_536_000)


class RunCreation(Given):
    """A message to a session. `chatId` is another name of `sessionId`; of `messages` the last user's text counts."""

    session_id: Id | None = None
    chat_id: Id | None = None
    provider: str | None = Field(None, min_length=1, max_length=64)
    model: str | None = Field(None, min_length=1, max_length=256, pattern=r"^[!-~]+$")
    prompt: str | None = Field(None, max_length=LONGEST_PROMPT)
    messages: list[dict[str, Any]] | None = Field(None, max_length=10_000)
    repo: Repo | None = None
    execution_profile: Id | None = None
    provider_options: ProviderOptions | None = None
    require: list[Capability] = Field(default_factory=list, max_length=20)
    on_busy: Literal["enqueue", "reject", "interrupt"] = "enqueue"
    priority: int = Field(0, ge=-1000, le=1000)
    budget: Budget | None = None
    mode: Literal["local"] | None = None
    title: str | None = Field(None, max_length=200)
    timeout_ms: int = Field(60_000, ge=0, le=600_000)

    @model_validator(mode="after")
    def _consistent(self) -> RunCreation:
        if self.session_id and self.chat_id and self.session_id != self.chat_id:
            raise ValueError("sessionId and chatId name the same thing; give one of them.")
        if self.prompt is not None and self.messages is not None:
            raise ValueError("Give prompt or messages, not both.")
        return self

    @property
    def session(self) -> str | None:
        return self.session_id or self.chat_id


class Enqueue(RunCreation):
    """As a creation, with an id of the caller's choice: a known one returns that item."""

    run_id: str | None = Field(None, pattern=r"^run_[0-9A-Za-z_-]{1,64}$")


class StartQuery(Asked):
    """`format` as in the stream, where the answer is one."""

    format: Literal["events", "ui-message"] = "events"


class RunsQuery(PageQuery):
    session_id: Id | None = None
    status: Status | None = None


class StopBody(Given):
    reason: str | None = Field(None, max_length=500)


class InputBody(Given):
    text: str = Field(min_length=1, max_length=LONGEST_PROMPT)
    timeout_ms: int = Field(10_000, ge=0, le=60_000)


class InputView(Shown):
    """What became of a message to a working agent: `taken` (it is the event `seq` of the log), or `pending`."""

    command_id: str
    run_id: str
    outcome: Literal["pending", "taken"]
    seq: int | None = None


class MoveBody(Given):
    """`before` is another queued run of the session; `null`: to the end."""

    before: Id | None


class StreamQuery(Asked):
    """`cursor` is the last seq seen; the Last-Event-ID header wins over it, because a reconnecting browser sends the address
    it began with and knows better by then."""

    cursor: str | None = None
    format: Literal["events", "ui-message"] = "events"


class EventsQuery(Asked):
    cursor: str | None = None
    limit: int = Field(100, ge=1, le=500)


class LogQuery(EventsQuery):
    """Events behind `cursor`, or the last ones before the seq `before` (`end`: of the whole log). `types`: of these alone, separated by
    commas."""

    before: Annotated[str, Field(pattern=r"^(end|\d{1,16})$")] | None = None
    types: Annotated[str, Field(pattern=r"^[a-z_.]{1,64}(,[a-z_.]{1,64}){0,39}$")] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> LogQuery:
        if self.cursor is not None and self.before is not None:
            raise ValueError("Give cursor or before, not both.")
        return self


WaitingReason = Literal[
    "session_busy",
    "disk_full",
    "redis_full",
    "executor",
    "provider_unavailable",
    "retry",
    "no_worker",
    "worker",
    "sandbox",
    "human",
    "delivery",
]


class WaitingFor(Shown):
    """Why a run is not running. `position` is how many runs come first: of its session where that is busy, else of the tenant's
    queue. `reason` is one of session_busy, disk_full, redis_full, executor, provider_unavailable, retry, no_worker, worker, sandbox,
    human, delivery. `remedy` is there where somebody can do something about it."""

    reason: Annotated[str, ShownAs(WaitingReason)]
    position: int | None = None
    since: str
    remedy: str | None = None


class Usage(Shown):
    """Tokens by class and their cost; what is not known is left out. `estimated` is how many of the tokens nobody told: of answers
    that broke off."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write5m: int | None = Field(None, alias="cacheWrite5m")
    cache_write1h: int | None = Field(None, alias="cacheWrite1h")
    reasoning: int | None = None
    estimated: int | None = None
    cost_usd: float | None = None


class RunView(Shown):
    """A run. `taskId` is its own id: a plain run is a task of one node."""

    run_id: str
    session_id: str
    task_id: str
    status: Annotated[str, ShownAs(Status)]
    attempt: int
    provider: str
    model: str | None
    prompt: str
    waiting_for: WaitingFor | None = None
    stop_requested_at: str | None = None
    stop_reason: str | None = None
    failure_code: Annotated[str | None, ShownAs(FailureCode)] = None
    failure_class: Annotated[str | None, ShownAs(FailureClass)] = None
    failure_message: str | None = None
    retryable: bool | None = None
    remedy: str | None = None
    usage: Annotated[dict[str, Any], ShownAs(Usage)]
    last_seq: int
    priority: int
    trace_id: str
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None


class RunAggregate(RunView):
    """A run and its final text."""

    message: str | None


class QueueItem(Shown):
    """A run's place in the queue. The lease is shown so that one sees who drives it."""

    run_id: str
    session_id: str
    status: Annotated[str, ShownAs(Status)]
    position: int | None = None
    waiting_for: WaitingFor | None = None
    priority: int
    attempt: int
    failures: int
    retry_at: str | None = None
    epoch: int
    lease_owner: str | None = None
    lease_until: str | None = None
    created_at: str


class QueueSummary(Shown):
    """How many runs are queued in the tenant and how long the oldest has waited."""

    depth: int
    oldest_age_seconds: float


class TodoItem(Shown):
    """One thing to do."""

    id: str
    content: str
    status: Literal["pending", "in_progress", "completed"]
    priority: str | None = None


class TodoView(Shown):
    """The agent's list as it gave it last; `seq` is that of its event."""

    run_id: str
    todos: list[Annotated[dict[str, Any], ShownAs(TodoItem)]]
    seq: int
    updated_at: str | None = None


def run_view(run: AgentRun) -> RunView:
    return RunView(**_run_fields(run, waiting_view(run)))


def run_aggregate(run: AgentRun) -> RunAggregate:
    return RunAggregate(**_run_fields(run, waiting_view(run)), message=run.message)


def queue_item(run: AgentRun) -> QueueItem:
    waiting = waiting_view(run)
    return QueueItem(
        run_id=run.id,
        session_id=run.session_id,
        status=run.status,
        position=waiting.position if waiting else None,
        waiting_for=waiting,
        priority=run.priority,
        attempt=run.attempt,
        failures=run.failures,
        retry_at=when(run.retry_at),
        epoch=run.epoch,
        lease_owner=run.lease_owner,
        lease_until=when(run.lease_until),
        created_at=when(run.created_at) or "",
    )


def _run_fields(run: AgentRun, waiting: WaitingFor | None) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "session_id": run.session_id,
        "task_id": run.id,
        "status": run.status,
        "attempt": run.attempt,
        "provider": run.provider,
        "model": (run.launch or {}).get("model") or run.model,
        "prompt": run.prompt,
        "waiting_for": waiting,
        "stop_requested_at": when(run.stop_requested_at),
        "stop_reason": run.stop_reason,
        "failure_code": run.failure_code,
        "failure_class": run.failure_class,
        "failure_message": run.failure_message,
        "retryable": None if run.retryable is None else bool(run.retryable),
        "remedy": run.remedy,
        "usage": run.usage,
        "last_seq": run.last_seq,
        "priority": run.priority,
        "trace_id": run.trace_id,
        "created_at": when(run.created_at),
        "started_at": when(run.started_at),
        "finished_at": when(run.finished_at),
    }


def shortage() -> str | None:
    """Return what keeps attempts from starting now; outside of an application there is nothing to ask."""
    if not has_app_context():
        return None
    short = parts().container.watermarks.find_shortage()
    return short.code if short is not None else None


def waiting_view(run: AgentRun) -> WaitingFor | None:
    waits = run.finished_at is None and run.status != RunStatus.RUNNING
    found = waiting_for(run, shortage()) if waits else None
    if found is None:
        return None
    since = when(found.get("since")) or when(run.created_at) or ""
    return WaitingFor(reason=found["reason"], position=found.get("position"), since=since, remedy=found.get("remedy"))


def waiting_views(runs: Sequence[AgentRun], open_ids: Sequence[str]) -> dict[str, WaitingFor]:
    """Return why the runs of one session wait, by id: behind the first of its open ones, whose ids are in their order, they wait for it."""
    found: dict[str, WaitingFor] = {}
    for run in runs:
        position = open_ids.index(run.id) if run.id in open_ids else 0
        if position and run.status == RunStatus.QUEUED:
            found[run.id] = WaitingFor(reason="session_busy", position=position, since=when(run.created_at) or "")
        elif (view := waiting_view(run)) is not None:
            found[run.id] = view
    return found


def run_views(runs: Sequence[AgentRun], open_ids: Sequence[str]) -> list[RunView]:
    """Return runs of one session."""
    waiting = waiting_views(runs, open_ids)
    return [RunView(**_run_fields(run, waiting.get(run.id))) for run in runs]
