"""What a policy says of the time that people have to answer, and of what runs may use. Scopes lie in one another: what a session's
policy leaves open is the tenant's, what that leaves open is the default. Verdicts on tool calls are `app.services.policy`; who stores
policies too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OnDeadline = Literal["keep", "deny"]
Scope = Literal["tenant", "session"]

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """`deadline_seconds` after a request was asked it is overdue; `on_deadline` says what then: `keep` it open, or `deny` it.
    None: the wider scope decides. There is no `allow`: nothing is ever approved by nobody. `budget` is that of runs that name none:
    `maxTokens`, `maxCostUsd`, `maxSeconds`, each for itself."""

    deadline_seconds: float | None = None
    on_deadline: OnDeadline | None = None
    budget: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(rules: Mapping[str, Any]) -> Policy:
        return Policy(rules.get("deadlineSeconds"), rules.get("onDeadline"), rules.get("budget") or {})

    def as_rules(self) -> dict[str, Any]:
        """Return what is kept: nothing of what is left to the wider scope."""
        budget = dict(self.budget) or None
        rules = {"deadlineSeconds": self.deadline_seconds, "onDeadline": self.on_deadline, "budget": budget}
        return {name: value for name, value in rules.items() if value is not None}

    def within(self, wider: Policy) -> Policy:
        """Return this policy with what it leaves open taken from the wider one."""
        seconds = self.deadline_seconds if self.deadline_seconds is not None else wider.deadline_seconds
        return Policy(seconds, self.on_deadline or wider.on_deadline, {**wider.budget, **self.budget})

    def deadline(self, asked_at: float, timeout_seconds: float | None) -> float | None:
        """Return when a request is overdue: the earlier of the policy's deadline and the one that the agent itself gave."""
        given = [seconds for seconds in (self.deadline_seconds, timeout_seconds) if seconds is not None]
        return asked_at + min(given) if given else None
