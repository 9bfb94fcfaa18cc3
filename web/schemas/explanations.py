"""Why a run is where it is, on the wire."""

from __future__ import annotations

from typing import Any

from app.services import run_lists
from app.services.run_explanation import AttemptFacts, Explanation
from web.schemas.common import when
from web.schemas.human_loop import RequestView, request_view
from web.schemas.runs import WaitingFor, waiting_view
from web.wire import Shown

LONGEST_TEXT = 2000


class LeaseView(Shown):
    """Who drives the run. `epoch` counts leases. Without an owner nobody does: it is queued, let go, handed back or finished."""

    epoch: int
    owner: str | None = None
    until: str | None = None
    over: bool = False
    taken_at_seq: int
    let_go_at: str | None = None
    sandbox_stopped_at: str | None = None


class AttemptView(Shown):
    """One start of the agent and what became of it."""

    attempt: int
    seq: int
    started_at: str
    provider: str | None = None
    model: str | None = None
    context: str | None = None
    ended_at: str | None = None
    status: str | None = None
    code: str | None = None
    message: str | None = None


class FailuresView(Shown):
    """`count` of those that count towards PADDOCK_MAX_ATTEMPTS, `deaths` of them in which worker or sandbox died."""

    count: int
    deaths: int
    retry_at: str | None = None
    code: str | None = None
    failure_class: str | None = None
    message: str | None = None
    retryable: bool | None = None
    remedy: str | None = None


class CommandView(Shown):
    """A wish about the run. Without `appliedSeq` it has not taken effect yet."""

    command_id: str
    kind: str
    key: str
    created_at: str
    applied_seq: int | None = None


class CallbacksView(Shown):
    """What an external executor has called back: how many, how many of them have not taken effect yet, and when."""

    count: int
    waiting: int
    first_at: str
    last_at: str


class JournalView(Shown):
    """What the executor says of the agent: `state` not_started, running, ended, no_sandbox, unreachable or unknown."""

    state: str
    agent_id: str | None = None
    last: int | None = None
    in_log: int | None = None
    acknowledged: int | None = None
    exit: str | None = None
    error: str | None = None


class LastInputView(Shown):
    kind: str
    at: str
    text: str


class SandboxView(Shown):
    status: str
    generation: int
    error: str | None = None
    last_sync_status: str
    last_sync_error: str | None = None
    snapshot_id: str | None = None


class ExplanationView(Shown):
    """`summary` and `advice` are sentences for people; everything else is what they were made of."""

    run_id: str
    session_id: str
    trace_id: str
    status: str
    summary: str
    advice: str
    waiting_for: WaitingFor | None = None
    last_seq: int
    lease: LeaseView
    attempts: list[AttemptView]
    failures: FailuresView
    journal: JournalView
    last_input: LastInputView | None = None
    commands: list[CommandView]
    callbacks: CallbacksView | None = None
    requests: list[RequestView]
    sandbox: SandboxView | None = None


def explanation_view(found: Explanation, names: dict[str, str]) -> ExplanationView:
    """`names` are those of users, by id."""
    titles = run_lists.titles_of([found.run.session_id]) if found.requests else {}
    run, worker, last = found.run, found.worker, found.last_input
    return ExplanationView(
        run_id=run.id,
        session_id=run.session_id,
        trace_id=run.trace_id,
        status=run.status,
        summary=found.reason.summary,
        advice=found.reason.advice,
        waiting_for=waiting_view(run),
        last_seq=run.last_seq,
        lease=_lease(found),
        attempts=[_attempt(each) for each in found.attempts],
        failures=_failures(found),
        journal=JournalView.model_validate(found.journal, from_attributes=True),
        last_input=None
        if last is None
        else LastInputView(kind=last.kind, at=when(last.at) or "", text=last.text[:LONGEST_TEXT]),
        commands=[
            CommandView(
                command_id=each.id,
                kind=each.kind,
                key=each.command_key,
                created_at=when(each.created_at) or "",
                applied_seq=each.applied_seq,
            )
            for each in found.commands
        ],
        callbacks=_callbacks(found),
        requests=[request_view(each, names, titles.get(each.session_id, "")) for each in found.requests],
        sandbox=None if worker is None else SandboxView.model_validate(worker, from_attributes=True),
    )


def _callbacks(found: Explanation) -> CallbacksView | None:
    facts = found.callbacks
    if facts is None:
        return None
    first_at, last_at = when(facts.first_at) or "", when(facts.last_at) or ""
    return CallbacksView(count=facts.count, waiting=facts.waiting, first_at=first_at, last_at=last_at)


def _lease(found: Explanation) -> LeaseView:
    run = found.run
    return LeaseView(
        epoch=run.epoch,
        owner=run.lease_owner,
        until=when(run.lease_until),
        over=run.lease_until is not None and run.lease_until <= found.now,
        taken_at_seq=run.lease_seq,
        let_go_at=when(run.let_go_at),
        sandbox_stopped_at=when(run.sandbox_stopped_at),
    )


def _attempt(facts: AttemptFacts) -> AttemptView:
    fields: dict[str, Any] = {name: getattr(facts, name) for name in AttemptFacts.__slots__}
    return AttemptView(**{**fields, "started_at": when(facts.started_at), "ended_at": when(facts.ended_at)})


def _failures(found: Explanation) -> FailuresView:
    run = found.run
    return FailuresView(
        count=run.failures,
        deaths=run.deaths,
        retry_at=when(run.retry_at),
        code=run.failure_code,
        failure_class=run.failure_class,
        message=run.failure_message,
        retryable=None if run.retryable is None else bool(run.retryable),
        remedy=run.remedy,
    )
