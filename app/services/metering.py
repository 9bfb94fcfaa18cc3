"""What runs have used: the calls that went through the model proxy, a row each, and the run's own account at its end. Whether a
call may be made is `budgets`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from peewee import fn

from app import db
from app.domain.model_api import Told
from app.domain.prices import DECIMALS, Price
from app.log import logger
from app.models import AgentRun, ModelCall, UsageLog
from app.services import holders

COLUMNS = {
    "input": "input",
    "output": "output",
    "cacheRead": "cache_read",
    "cacheWrite5m": "cache_write_5m",
    "cacheWrite1h": "cache_write_1h",
    "reasoning": "reasoning",
    "estimated": "estimated",
}
"""Of usage as it is told -> of the tables. `estimated` is how many of the others nobody told."""
COUNTED = ("input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h")
"""The classes that make up `budget.maxTokens`: reasoning is part of the output."""
LOST_SECONDS = 7200.0
"""A call that is open for longer has no proxy any more that could end it."""


def record(call_id: str, told: Told, price: Price | None) -> None:
    """Write down what a call has told of its usage so far."""
    fields: dict[str, Any] = {COLUMNS[name]: count for name, count in told.items()}
    fields["cost_usd"] = None if price is None else price.cost(told)
    ModelCall.update(fields).where(ModelCall.id == call_id).execute()


def end(call_id: str, state: Literal["ended", "cut"], http_status: int | None) -> None:
    """A call is over. Where its run has ended before it, the run's account is made again."""
    with db.transaction():
        changed = (
            ModelCall.update(state=state, http_status=http_status, ended_at=db.clock(), most_tokens=None, most_usd=None)
            .where(ModelCall.id == call_id, ModelCall.state == "open")
            .execute()
        )
        if changed:
            run = AgentRun.get_by_id(ModelCall.get_by_id(call_id).run_id)
            if run.finished_at is not None:
                log_usage(run, settled(run, run.usage), run.finished_at)


def end_lost() -> int:
    """End the calls whose proxy is known to be dead; what they had told stays. Returns how many."""
    rows = list(ModelCall.select(ModelCall.id, ModelCall.holder, ModelCall.started_at).where(ModelCall.state == "open"))
    now = db.now()
    dead = {holder for holder in {row.holder for row in rows} if holders.is_dead(holder)}
    lost = [row.id for row in rows if row.holder in dead or now - row.started_at > LOST_SECONDS]
    if lost:
        query = ModelCall.update(state="lost", ended_at=now, most_tokens=None, most_usd=None)
        query.where(ModelCall.id.in_(lost), ModelCall.state == "open").execute()
        logger.warning("model calls lost with their proxy", calls=len(lost))
    return len(lost)


def total(run_id: str, attempt: int | None = None, *, told_only: bool = False) -> dict[str, Any] | None:
    """Return what the proxy has counted for a run, or one attempt; None where no call of it came through. Cost is left out where a
    call that used something has no price. `told_only`: without the calls of which something is estimated."""
    sums = [fn.COALESCE(fn.SUM(getattr(ModelCall, column)), 0) for column in COLUMNS.values()]
    used = (
        ModelCall.input + ModelCall.output + ModelCall.cache_read + ModelCall.cache_write_5m + ModelCall.cache_write_1h
    )
    unpriced = fn.SUM((ModelCall.cost_usd.is_null() & (used > 0)).cast("integer"))
    where = ModelCall.run_id == run_id
    if attempt is not None:
        where &= ModelCall.attempt == attempt
    if told_only:
        where &= ModelCall.estimated == 0
    query = ModelCall.select(*sums, fn.COALESCE(fn.SUM(ModelCall.cost_usd), 0.0), unpriced, fn.COUNT(ModelCall.id))
    row: tuple[Any, ...] = next(iter(query.where(where).tuples()))
    *counts, cost, without_price, calls = row
    if not calls:
        return None
    found: dict[str, Any] = dict(zip(COLUMNS, map(int, counts), strict=True))
    if not without_price:
        found["costUsd"] = round(float(cost), DECIMALS)
    return found


def is_calling(run_id: str, attempt: int, *, within_seconds: float) -> bool:
    """True where a call of a model is open, or one ended within this time."""
    mine = (ModelCall.run_id == run_id) & (ModelCall.attempt == attempt)
    going_on = (ModelCall.state == "open") | (ModelCall.ended_at > db.now() - within_seconds)
    return bool(ModelCall.select().where(mine & going_on).exists())


def tokens_of(usage: Mapping[str, Any]) -> int:
    return sum(int(usage.get(name) or 0) for name in COUNTED)


def settled(run: AgentRun, reported: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's usage: what the proxy counted, where it did; of the agent's own report what the proxy cannot know."""
    counted = total(run.id)
    if counted is None:
        return dict(reported)
    for name in ("reasoning", "estimated"):  # Anthropic's protocol does not tell reasoning apart
        if not counted[name]:
            counted.pop(name)
    return {**reported, **counted}


def mismatch(run: AgentRun, reported: Mapping[str, Any]) -> str | None:
    """Return in words where the agent's report of the present attempt differs from what the proxy counted in it. No agent reports
    what it used of an answer that broke off."""
    before = (run.launch or {}).get("usageBefore") or {}
    own = {name: int(reported.get(name) or 0) - int(before.get(name) or 0) for name in COUNTED}
    counted = total(run.id, run.attempt, told_only=True)
    if counted is None or not any(own.values()):
        return None
    pairs = {name: (own[name], counted[name]) for name in ("input", "output", "cacheRead")}
    pairs["cacheWrite"] = (_written(own), _written(counted))
    parts = [f"{name} {theirs} against {ours}" for name, (theirs, ours) in pairs.items() if theirs != ours]
    return f"The agent reports other tokens than were counted: {', '.join(parts)}." if parts else None


def _written(usage: Mapping[str, Any]) -> int:
    return int(usage["cacheWrite5m"]) + int(usage["cacheWrite1h"])


def log_usage(run: AgentRun, usage: Mapping[str, Any], now: float) -> None:
    """Write a run's account; a later one takes the place of an earlier."""
    counts = {column: usage.get(name, 0) for name, column in COLUMNS.items()}
    fields = {**counts, "cost_usd": usage.get("costUsd", 0)}
    UsageLog.insert(
        run_id=run.id,
        tenant_id=run.tenant_id,
        session_id=run.session_id,
        user_id=run.user_id,
        provider=run.provider,
        model=(run.launch or {}).get("model"),
        created_at=now,
        **fields,
    ).on_conflict(conflict_target=[UsageLog.run_id], update=fields).execute()
