"""The breaker of a provider: after a few failures in a row that are the provider's own, its runs wait, and one at a time is let
through to try. Other providers' runs never wait for it (decision 0013).

The rows are all there is of its state, so that every worker sees the same: `find` reads one, `BLOCKED` keeps runs from being claimed,
`admit` lets one through, `note` learns from how an attempt ended, `prove` from what it did before that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from app import db, ids
from app.config import Settings
from app.domain.external import EXTERNAL
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.errors import LimitExceeded
from app.log import logger
from app.models import AgentRun, ProviderBreaker

OWN_FAULTS = frozenset({FailureCode.AUTH_MISSING, FailureCode.TRANSPORT_ERROR, FailureCode.PROVIDER_NO_OUTPUT})
"""Failures that another run of the provider would meet as well, whatever it is about."""

TRIAL_SECONDS = 60.0
"""A trial of which nothing is known for so long does not keep the next run from being one."""
LONGEST_PAUSE = 16
"""Times the first pause: how far the pauses between trials grow."""

BLOCKED = (
    "EXISTS (SELECT 1 FROM provider_breakers b WHERE b.tenant_id = r.tenant_id AND b.provider = r.provider"
    " AND b.trial_at > {now})"
)
"""SQL: true for a run `r` that may not start now."""

State = Literal["closed", "open", "half_open"]


def find(tenant_id: str, provider: str) -> ProviderBreaker | None:
    """Return the row of a provider; None as long as it works."""
    found: ProviderBreaker | None = ProviderBreaker.get_or_none(
        ProviderBreaker.tenant_id == tenant_id, ProviderBreaker.provider == provider
    )
    return found


def list_open(tenant_id: str) -> Sequence[ProviderBreaker]:
    """Return those of a tenant's providers whose runs wait."""
    query = ProviderBreaker.select().where(
        ProviderBreaker.tenant_id == tenant_id, ProviderBreaker.opened_at.is_null(False)
    )
    return list(query.order_by(ProviderBreaker.provider))


def require_closed(tenant_id: str, provider: str) -> None:
    """For whoever does not want to wait: raise LimitExceeded `provider_unavailable` while runs of a provider do."""
    row = find(tenant_id, provider)
    if row is not None and row.opened_at is not None:
        seconds = max(1, math.ceil((row.trial_at or 0) - db.now()))
        message = f"{provider} fails since {ids.rfc3339_of(row.opened_at)} ({row.failure_code})."
        raise LimitExceeded("provider_unavailable", message, remedy=row.remedy, retry_after_seconds=seconds)


def state_of(row: ProviderBreaker | None) -> State:
    if row is None or row.opened_at is None:
        return "closed"
    return "open" if row.trial_run_id is None else "half_open"


def admit(run: AgentRun) -> bool:
    """Let a run start; False where another one was let through as a trial since this one was looked up. Within the transaction of its
    claim."""
    row = find(run.tenant_id, run.provider)
    if row is None or row.opened_at is None:
        return True
    taken = _update(run, trial_run_id=run.id, trial_at=_after(TRIAL_SECONDS)).where(
        ProviderBreaker.trial_at <= db.clock()
    )
    return bool(taken.execute() == 1)


def hasten(tenant_id: str, provider: str) -> None:
    """Somebody wants to know now whether a provider works again: the next run of its is let through."""
    mine = (ProviderBreaker.tenant_id == tenant_id) & (ProviderBreaker.provider == provider)
    ProviderBreaker.update(trial_at=db.clock()).where(mine, ProviderBreaker.opened_at.is_null(False)).execute()


def note(run: AgentRun, outcome: Outcome, settings: Settings) -> None:
    """An attempt of a run is over. Within the transaction that writes this down, so that it counts once."""
    if run.provider == EXTERNAL or not settings.breaker_failures:
        return
    failure = outcome.failure
    if failure is not None and failure.code in OWN_FAULTS:
        _failed(run, failure, settings)
    elif outcome.status == RunStatus.SUCCEEDED:
        prove(run)
    else:  # says nothing about the provider: let the next one try
        _update(run, trial_run_id=None, trial_at=db.clock()).where(ProviderBreaker.trial_run_id == run.id).execute()


def prove(run: AgentRun) -> None:
    """A run's model has answered: the provider works."""
    with db.reading():
        row = find(run.tenant_id, run.provider)
    if row is None:
        return
    with db.transaction():
        db.delete_rows(ProviderBreaker, _of(run))
    if row.opened_at is not None:
        logger.info("provider works again", provider=run.provider, tenant_id=run.tenant_id)


def _failed(run: AgentRun, failure: Failure, settings: Settings) -> None:
    told = {"failure_code": failure.code, "remedy": failure.advice, "changed_at": db.clock()}
    ProviderBreaker.insert(
        tenant_id=run.tenant_id, provider=run.provider, failures=0, **told
    ).on_conflict_ignore().execute()
    _update(run, failures=ProviderBreaker.failures + 1, **told).execute()
    row = find(run.tenant_id, run.provider)
    if row is None:
        return  # it was seen to work at the same moment
    if row.opened_at is None and row.failures >= settings.breaker_failures:
        _update(run, opened_at=db.clock(), trial_at=_after(settings.breaker_seconds)).execute()
        logger.warning("provider fails, its runs wait", provider=run.provider, failures=row.failures, code=failure.code)
    elif row.trial_run_id == run.id:
        trials = row.trials + 1
        pause = settings.breaker_seconds * min(LONGEST_PAUSE, 2**trials)
        _update(run, trial_run_id=None, trials=trials, trial_at=_after(pause)).execute()


def _after(seconds: float) -> Any:
    return db.clock() + seconds


def _update(run: AgentRun, **fields: Any) -> Any:
    return ProviderBreaker.update(fields).where(_of(run))


def _of(run: AgentRun) -> Any:
    return (ProviderBreaker.tenant_id == run.tenant_id) & (ProviderBreaker.provider == run.provider)
