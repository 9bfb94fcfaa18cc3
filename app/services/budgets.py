"""Budgets of tokens and cost: whether a run may make another call of a model. Running time is `run_limits`.

A run is at most one call beyond its budget, also with many calls at once: beside open calls another one is let through only if
the budget would hold with the most that those can come to; otherwise it waits until they have ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app import db, ids
from app.config import Settings
from app.domain.failure import Failure, FailureCode
from app.domain.model_api import Asked, Protocol
from app.domain.prices import Price
from app.models import AgentRun, ModelCall, RunCommand
from app.services import metering

Limit = Literal["tokens", "cost", "price"]
LIMITS: tuple[Limit, ...] = ("tokens", "cost", "price")
_METERED = ("maxTokens", "maxCostUsd")
_KEY = "limit:"

WORDS: Mapping[str, str] = {
    "tokens": "The run has used up its budget.maxTokens.",
    "cost": "The run has used up its budget.maxCostUsd.",
    "price": "The run has a budget.maxCostUsd, and its model has no known price, so that nobody could keep it.",
}
_REMEDIES: Mapping[str, str] = {
    "price": "Give the model a price (PADDOCK_MODEL_PRICES), or limit the run by budget.maxTokens.",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that an agent wants to make. `price` is its model's, `holder` the proxy that serves it."""

    run: AgentRun
    protocol: Protocol
    asked: Asked
    price: Price | None
    holder: str

    @property
    def most_tokens(self) -> int | None:
        taken, given = self.asked.most_input, self.asked.most_output
        return None if taken is None or given is None else taken + given

    @property
    def most_usd(self) -> float | None:
        taken, given = self.asked.most_input, self.asked.most_output
        return None if taken is None or given is None or self.price is None else self.price.most(taken, given)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`call_id` of the row of a call that may be made, or the `limit` that forbids it; neither: wait for open calls and ask again."""

    call_id: str | None = None
    limit: Limit | None = None


def defaults(settings: Settings) -> dict[str, Any]:
    """Return the budget of runs that name none of their own, as `options.budget` holds it."""
    found = {
        "maxTokens": settings.budget_tokens,
        "maxCostUsd": settings.budget_usd,
        "maxSeconds": settings.budget_seconds,
    }
    return {name: value for name, value in found.items() if value is not None}


def exceeded(budget: Mapping[str, Any], usage: Mapping[str, Any]) -> Limit | None:
    """Return the limit that a usage has reached."""
    most_tokens, most_usd = budget.get("maxTokens"), budget.get("maxCostUsd")
    if most_tokens is not None and metering.tokens_of(usage) >= most_tokens:
        return "tokens"
    if most_usd is not None and (usage.get("costUsd") or 0.0) >= most_usd:
        return "cost"
    return None


def admit(call: Call) -> Verdict:
    """Decide on a call, and write its row where it may be made."""
    budget = {name: most for name, most in (call.run.options.get("budget") or {}).items() if name in _METERED}
    if "maxCostUsd" in budget and call.price is None:
        return Verdict(limit="price")
    with db.transaction():
        if budget:
            _take_turn(call.run.id)
            verdict = _weigh(call.run.id, budget)
            if verdict is not None:
                return verdict
        return Verdict(call_id=_open(call))


def stop(run: AgentRun, limit: Limit) -> None:
    """Have the run ended for a limit; once. The caller rings its bell."""
    RunCommand.insert(
        id=ids.new_id("cmd"),
        tenant_id=run.tenant_id,
        run_id=run.id,
        command_key=f"{_KEY}{run.attempt}",
        kind="stop",
        payload={"limit": limit, "attempt": run.attempt},
        created_at=db.clock(),
    ).on_conflict_ignore().execute()


def find_limit(run_id: str, attempt: int) -> Limit | None:
    """Return the limit that an attempt was stopped for, whether or not anybody has carried that out yet."""
    row = RunCommand.get_or_none(RunCommand.run_id == run_id, RunCommand.command_key == f"{_KEY}{attempt}")
    return None if row is None else limit_of(row)


def limit_of(command: RunCommand) -> Limit | None:
    """Return the limit that a command stops its run for; None for the command of a person."""
    return command.payload["limit"] if command.command_key.startswith(_KEY) else None


def limit_among(commands: Sequence[RunCommand]) -> Limit | None:
    """Return the limit that a run is to stop for; None where a person wants it to stop, which comes first."""
    stops = [command for command in commands if command.kind == "stop"]
    limits = [limit for command in stops if (limit := limit_of(command)) is not None]
    return limits[0] if limits and len(limits) == len(stops) else None


def failure_for(limit: Limit) -> Failure:
    return Failure(FailureCode.BUDGET_EXCEEDED, WORDS[limit], _REMEDIES.get(limit, ""), retryable=False)


def _take_turn(run_id: str) -> None:
    """Let one call of a run be decided on at a time; on SQLite every write transaction is alone anyway."""
    if not db.is_sqlite():
        db.proxy.obj.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 724012))", (run_id,))


def _weigh(run_id: str, budget: Mapping[str, Any]) -> Verdict | None:
    """Return why a call cannot be made now; None where it can. What open calls have told already counts twice, which errs on the
    side of waiting."""
    used = metering.total(run_id) or {}
    limit = exceeded(budget, used)
    if limit is not None:
        return Verdict(limit=limit)
    others = list(ModelCall.select().where(ModelCall.run_id == run_id, ModelCall.state == "open"))
    tokens, cost = _most(others, "most_tokens"), _most(others, "most_usd")
    if ("maxTokens" in budget and tokens is None) or ("maxCostUsd" in budget and cost is None):
        return Verdict()
    then = {"input": metering.tokens_of(used) + int(tokens or 0), "costUsd": used.get("costUsd", 0.0) + (cost or 0.0)}
    return None if exceeded(budget, then) is None or not others else Verdict()


def _most(others: Sequence[ModelCall], column: str) -> float | None:
    """Return the most that open calls can come to; None where nobody knows."""
    bounds = [getattr(call, column) for call in others]
    return None if None in bounds else sum(bounds)


def _open(call: Call) -> str:
    row = ModelCall.create(
        id=ids.new_id("mcl"),
        tenant_id=call.run.tenant_id,
        run_id=call.run.id,
        attempt=call.run.attempt,
        protocol=call.protocol,
        model=call.asked.model[:256],
        holder=call.holder,
        most_tokens=call.most_tokens,
        most_usd=call.most_usd,
        started_at=db.clock(),
    )
    return str(row.id)
