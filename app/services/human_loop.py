"""Questions and approvals: what the agents ask of people, and the one answer each request gets. SPEC §2.

The rows are opened and closed by the driver (`opened`, `resolved`, `supersede_older`, inside its transactions) and answered
by web (`reply`): `answered` is the person's act, `delivered_at` the agent's receipt. Past its deadline a request stays open, unless
the policy under which it was asked denies it (`expire_overdue`): that is an answer too, and there is one answer only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app import db, ids
from app.domain.policy import Policy
from app.errors import Conflict, Invalid
from app.models import AgentRun, HumanLoopRequest
from app.ports import Bell
from app.services.run_creation import add_command

LIMIT = 500
NO_POLICY = Policy()
DECISIONS = ("allow", "allow_always", "deny")
TIMEOUT = "timeoutSeconds"
"""In what an adapter says of a request: how long its agent waits. Readers of the log get `deadlineAt` instead."""
EXPIRED_REPLY = {"decision": "deny", "message": "Nobody answered before the deadline.", "expired": True}
"""What an agent that was stopped meanwhile is told of a request whose deadline passed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A person's reply: a decision on an approval, or answers to questions (question id -> chosen or typed texts)."""

    decision: Literal["allow", "allow_always", "deny"] | None = None
    message: str | None = None
    answers: Mapping[str, list[str]] | None = None

    def as_json(self) -> dict[str, Any]:
        values = {"decision": self.decision, "message": self.message, "answers": self.answers}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ReplyResult:
    """What became of a reply. `duplicate`: somebody had answered before, `reply` and `by` are that first answer's."""

    request_id: str
    outcome: str
    duplicate: bool
    reply: Mapping[str, Any]
    by: str | None
    delivery: str | None = None


def reply(request: HumanLoopRequest, given: Reply, by: str, bell: Bell) -> ReplyResult:
    """Answer a request, once: one conditional UPDATE decides between all who try. Raises Conflict `request_closed` (with why) for a
    request that was withdrawn or ended, Invalid `reply_invalid` for a reply that does not fit."""
    _check(request, given)
    with db.transaction():
        now = db.now()
        won = (
            HumanLoopRequest.update(status="answered", reply=given.as_json(), replied_by=by, answered_at=now)
            .where(HumanLoopRequest.id == request.id, HumanLoopRequest.status == "open")
            .execute()
        )
        if won:
            payload = {"requestId": request.id, "by": by, **given.as_json()}
            add_command(request.tenant_id, request.run_id, "answer", f"answer:{request.id}", payload)
    if won:
        bell.ring_command(request.run_id)
    row = HumanLoopRequest.get_by_id(request.id)
    if row.status != "answered":
        raise Conflict("request_closed", _why_closed(row), remedy="Look at the run: it went on without an answer.")
    return ReplyResult(row.id, row.status, not won, row.reply, row.replied_by, row.delivery)


def _check(request: HumanLoopRequest, given: Reply) -> None:
    if request.kind == "approval":
        if given.decision not in DECISIONS or given.answers is not None:
            raise Invalid("reply_invalid", "An approval is answered with `decision`: allow, allow_always or deny.")
        return
    if given.decision == "deny" and given.answers is None:
        return  # a question may be declined
    questions = {question["id"]: question for question in request.questions or []}
    if not given.answers or given.decision is not None or set(given.answers) - set(questions):
        raise Invalid(
            "reply_invalid",
            "A question is answered with `answers`: {questionId: [text, …]}.",
            remedy=f"The question ids are: {', '.join(sorted(questions))}.",
        )
    _check_answers(questions, given.answers)


def _check_answers(questions: Mapping[str, Mapping[str, Any]], answers: Mapping[str, list[str]]) -> None:
    """Each question has its answer, and one only where it does not say `multiple`."""
    open_still = sorted(name for name in questions if not any(map(_is_said, answers.get(name, ()))))
    if open_still:
        names = ", ".join(open_still)
        raise Invalid(
            "reply_invalid",
            f"These questions have no answer yet: {names}.",
            remedy=f"Answer all questions in one reply; give a text that is not blank for: {names}.",
        )
    too_many = sorted(name for name, texts in answers.items() if len(texts) > 1 and not questions[name].get("multiple"))
    if too_many:
        names = ", ".join(too_many)
        raise Invalid(
            "reply_invalid",
            f"These questions take one answer, not several: {names}.",
            remedy=f"Give one text in the list for: {names}.",
        )


def _is_said(text: str) -> bool:
    """True where a reader sees something: neither blanks alone nor characters without a face."""
    return any(letter.isprintable() and not letter.isspace() for letter in text)


def _why_closed(row: HumanLoopRequest) -> str:
    reasons = {
        "superseded": "The agent withdrew the request before it was answered.",
        "canceled": "The run was stopped before the request was answered.",
        "expired": f"Its deadline, {_time(row.deadline_at)}, passed without an answer, and its policy denied it.",
    }
    return reasons.get(row.status, f"The request is {row.status}.")


def _time(seconds: float | None) -> str:
    return ids.rfc3339_of(seconds) if seconds is not None else "unknown"


# --- deadlines -----------------------------------------------------------------------------------------------------------


def with_deadline(data: Mapping[str, Any], policy: Policy, asked_at: float) -> dict[str, Any]:
    """Return the data of a `human_loop.requested` event with `deadlineAt` where the agent or the policy gives one."""
    shown = {name: value for name, value in data.items() if name != TIMEOUT}
    deadline = policy.deadline(asked_at, data.get(TIMEOUT))
    return shown if deadline is None else {**shown, "deadlineAt": ids.rfc3339_of(deadline)}


def expire_overdue(bell: Bell) -> int:
    """Deny what is open past a deadline at which its policy denies; return how much. The command to the run's holder is written in
    the transaction that closes the request, so a person's answer and the deadline cannot both win."""
    open_late = (HumanLoopRequest.status == "open") & (HumanLoopRequest.on_deadline == "deny")
    query = HumanLoopRequest.select().where(open_late, HumanLoopRequest.deadline_at <= db.clock())
    return sum(_expire(request, bell) for request in list(query.order_by(HumanLoopRequest.deadline_at).limit(LIMIT)))


def _expire(request: HumanLoopRequest, bell: Bell) -> bool:
    with db.transaction():
        won = (
            HumanLoopRequest.update(status="expired")
            .where(HumanLoopRequest.id == request.id, HumanLoopRequest.status == "open")
            .execute()
        )
        if won:
            key = f"expire:{request.id}"
            add_command(request.tenant_id, request.run_id, "expire", key, {"requestId": request.id, "by": None})
    if won:
        bell.ring_command(request.run_id)
    return bool(won)


# --- the driver's side, inside its transactions ----------------------------------------------------------------------------


def opened(run: AgentRun, attempt: int, data: Mapping[str, Any], now: float, policy: Policy = NO_POLICY) -> None:
    """Write the row of a `human_loop.requested` event; a row that is there already stays as it is."""
    deadline = data.get("deadlineAt")
    HumanLoopRequest.insert(
        id=data["requestId"],
        tenant_id=run.tenant_id,
        run_id=run.id,
        session_id=run.session_id,
        attempt=attempt,
        kind=data["kind"],
        title=data["title"],
        tool_call=data.get("toolCall"),
        tool_call_id=data.get("toolCallId"),
        rule=None if data.get("rule") is None else str(data["rule"]),
        questions=data.get("questions"),
        options=data.get("options") or [],
        status="open",
        deadline_at=None if deadline is None else ids.posix_of(deadline),
        on_deadline=policy.on_deadline or "keep",
        created_at=now,
    ).on_conflict_ignore().execute()


def resolved(data: Mapping[str, Any], now: float) -> None:
    """Close the row of a `human_loop.resolved` event."""
    row = HumanLoopRequest.id == data["requestId"]
    if data["outcome"] == "answered":
        HumanLoopRequest.update(delivered_at=now, delivery=data.get("delivery", "live"), closed_at=now).where(
            row
        ).execute()
        return
    told = {"delivered_at": now, "delivery": data.get("delivery")} if data["outcome"] == "expired" else {}
    HumanLoopRequest.update(status=data["outcome"], closed_at=now, **told).where(
        row, HumanLoopRequest.delivered_at.is_null()
    ).execute()


def closed(request: HumanLoopRequest, outcome: str) -> dict[str, Any]:
    """Return the data of the `human_loop.resolved` event of a request that gets no answer any more; one that expired stays so."""
    outcome = "expired" if request.status == "expired" else outcome
    return {"requestId": request.id, "outcome": outcome, "by": None, "reply": None, "delivery": None}


def delivered_late(request: HumanLoopRequest) -> dict[str, Any]:
    """Return the data of the `human_loop.resolved` event of an answer, or a denial by deadline, that a new attempt is told of."""
    return {
        "requestId": request.id,
        "outcome": request.status,
        "by": request.replied_by,
        "reply": request.reply,
        "delivery": "resumed",
    }


def list_decided(run_id: str) -> list[HumanLoopRequest]:
    """Return the requests of a run that a person answered, or a deadline denied, and its agent does not know of yet."""
    return [request for request in list_undelivered(run_id) if request.status in ("answered", "expired")]


def list_undelivered(run_id: str) -> list[HumanLoopRequest]:
    """Return the requests of a run whose agent has no answer yet, oldest first."""
    query = HumanLoopRequest.select().where(HumanLoopRequest.run_id == run_id, HumanLoopRequest.closed_at.is_null())
    return list(query.order_by(HumanLoopRequest.created_at))
