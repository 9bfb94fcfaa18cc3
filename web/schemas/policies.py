"""Policies on the wire."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.domain.policy import LONGEST_SECONDS, SHORTEST_SECONDS, Policy
from app.services.policy import Place
from web.schemas.common import Id
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


class Rules(Shown):
    """`onDeadline`: `keep` leaves an overdue request open, `deny` denies it."""

    deadline_seconds: float | None
    on_deadline: OnDeadline | None


class PolicyView(Shown):
    """What was laid down for this scope, and what holds in it together with the wider one."""

    scope: Literal["tenant", "session"]
    session_id: str | None = None
    own: Rules
    effective: Rules


def policy_view(place: Place, own: Policy, effective: Policy) -> PolicyView:
    return PolicyView(
        scope=place.scope,
        session_id=place.session_id,
        own=Rules(deadline_seconds=own.deadline_seconds, on_deadline=own.on_deadline),
        effective=Rules(deadline_seconds=effective.deadline_seconds, on_deadline=effective.on_deadline or "keep"),
    )
