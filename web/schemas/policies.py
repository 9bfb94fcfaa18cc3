"""Policies on the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from app.domain.policy import LONGEST_SECONDS, SHORTEST_SECONDS, Policy
from app.services.policy import Place
from web.schemas.common import Id
from web.schemas.runs import Budget
from web.wire import Asked, Given, Shown

OnDeadline = Literal["keep", "deny"]


class PolicyQuery(Asked):
    """Of the tenant, or of one session."""

    session_id: Id | None = None


class PolicyBody(Given):
    """The whole of a scope's policy: what is left out or null is left to the wider scope."""

    session_id: Id | None = None
    deadline_seconds: float | None = Field(None, ge=SHORTEST_SECONDS, le=LONGEST_SECONDS, strict=False)
    on_deadline: OnDeadline | None = None
    budget: Budget | None = None


class BudgetView(Shown):
    """What a run may use that names no such limit itself."""

    max_tokens: int | None = None
    max_cost_usd: float | None = None
    max_seconds: float | None = None


class Rules(Shown):
    """`onDeadline`: `keep` leaves an overdue request open, `deny` denies it."""

    deadline_seconds: float | None
    on_deadline: OnDeadline | None
    budget: BudgetView | None = None


class PolicyView(Shown):
    """What was laid down for this scope, and what holds in it together with the wider one."""

    scope: Literal["tenant", "session"]
    session_id: str | None = None
    own: Rules
    effective: Rules


def policy_of(body: PolicyBody) -> Policy:
    budget = body.budget.model_dump(by_alias=True, exclude_none=True) if body.budget is not None else {}
    return Policy(body.deadline_seconds, body.on_deadline, budget)


def policy_view(place: Place, own: Policy, effective: Policy) -> PolicyView:
    """`effective` has `keep` where nobody said what becomes of overdue requests."""
    shown = replace(effective, on_deadline=effective.on_deadline or "keep")
    return PolicyView(scope=place.scope, session_id=place.session_id, own=_rules(own), effective=_rules(shown))


def _rules(policy: Policy) -> Rules:
    budget = BudgetView.model_validate(dict(policy.budget)) if policy.budget else None
    return Rules(deadline_seconds=policy.deadline_seconds, on_deadline=policy.on_deadline, budget=budget)
