"""What an external executor asks of people, and how such requests are closed: which rows are meant, and what is told of them.

The executor names its requests itself. A name that is a request of another run is refused where it arrives (`is_taken`); should two
come at once, the later one is told as a warning and asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.events import Draft, EventType
from app.models import AgentRun, HumanLoopRequest, Todo
from app.services import human_loop, policy


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the log tells it. `is_told`: it is in no event yet; `is_new`: people are asked."""

    run: AgentRun
    type: str
    data: Mapping[str, Any]
    ts: float
    is_told: bool
    is_new: bool

    def store(self) -> None:
        if self.is_new:
            place = policy.Place(self.run.tenant_id, self.run.session_id)
            human_loop.opened(self.run, self.run.attempt, self.data, self.ts, policy.effective(place))


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a request was closed. `is_last`: nobody is waited for after it."""

    type: str
    data: Mapping[str, Any]
    is_told: bool
    is_last: bool

    def store(self, now: float) -> None:
        if not self.is_told or self.type != EventType.HUMAN_LOOP_RESOLVED:
            return
        if self.data["outcome"] == "answered":  # a person's answer came first, or nobody's
            answer = {
                "status": "answered",
                "reply": self.data["reply"],
                "replied_by": self.data["by"],
                "answered_at": now,
            }
            HumanLoopRequest.update(answer).where(
                HumanLoopRequest.id == self.data["requestId"], HumanLoopRequest.status == "open"
            ).execute()
        human_loop.resolved(self.data, now)


def is_taken(run_id: str, request_id: str) -> bool:
    """True where this name is a request of another run."""
    row = HumanLoopRequest.get_or_none(HumanLoopRequest.id == request_id)
    return row is not None and row.run_id != run_id


def asked(run: AgentRun, data: Mapping[str, Any], ts: float) -> Asked:
    if is_taken(run.id, data["requestId"]):
        warning = {"code": "request_exists", "message": "A request's id is another run's; nobody was asked."}
        return Asked(run, EventType.RUN_WARNING, warning, ts, True, False)
    known = HumanLoopRequest.get_or_none(HumanLoopRequest.id == data["requestId"]) is not None
    place = policy.Place(run.tenant_id, run.session_id)
    shown = human_loop.with_deadline(data, policy.effective(place), ts)
    return Asked(run, EventType.HUMAN_LOOP_REQUESTED, shown, ts, not known, not known)


def resolution(run: AgentRun, data: Mapping[str, Any]) -> Resolution:
    """Return what becomes of a request: the answer that a person gave stands, whatever the executor says of it."""
    request: HumanLoopRequest | None = HumanLoopRequest.get_or_none(
        HumanLoopRequest.id == data["requestId"], HumanLoopRequest.run_id == run.id
    )
    if request is None:
        warning = {"code": "request_unknown", "message": "A request that was never asked was reported as resolved."}
        return Resolution(EventType.RUN_WARNING, warning, True, False)
    others = [other for other in human_loop.list_undelivered(run.id) if other.id != request.id]
    outcome, by, reply = data["outcome"], data.get("by") or run.executor_id, data.get("reply") or {}
    if outcome == "answered" and request.status in ("answered", "expired"):
        outcome, by, reply = request.status, request.replied_by, request.reply
    told = {"requestId": request.id, "outcome": outcome, "by": by, "reply": reply, "delivery": "live"}
    if outcome not in ("answered", "expired"):
        told = human_loop.closed(request, outcome)
    return Resolution(EventType.HUMAN_LOOP_RESOLVED, told, request.closed_at is None, not others)


def store_todos(run: AgentRun, draft: Draft, seq: int) -> None:
    """Keep the list as it is now."""
    row = {"items": draft.data["todos"], "seq": seq, "updated_at": draft.ts}
    Todo.insert(run_id=run.id, tenant_id=run.tenant_id, **row).on_conflict(
        conflict_target=[Todo.run_id], update=row
    ).execute()
