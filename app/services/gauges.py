"""What SQL says of the installation as it is now, as series of metrics. Reads only; counts what has happened is `counting`'s."""

from __future__ import annotations

from typing import Any, cast

import peewee
from peewee import fn

from app import db
from app.domain.metrics import series
from app.domain.run_state import RunStatus
from app.domain.worker_state import SyncStatus, WorkerStatus
from app.models import AgentRun, HumanLoopRequest, ProviderBreaker, SessionWorker, WebhookDelivery
from app.services import runs

Samples = dict[str, float]

_OPEN = AgentRun.finished_at.is_null()


def read() -> Samples:
    """Return every gauge that has a row behind it, and those that are zero for lack of rows."""
    now = db.now()
    return {**_queue(), **_leases(now), **_sandboxes(now), **_waits(now), **_webhooks(), **_breakers()}


def _breakers() -> Samples:
    open_ = ProviderBreaker.select(ProviderBreaker.provider, fn.COUNT(ProviderBreaker.tenant_id)).where(
        ProviderBreaker.opened_at.is_null(False)
    )
    rows = _rows(open_.group_by(ProviderBreaker.provider))
    return {series("paddock_provider_breakers_open", {"provider": provider}): count for provider, count in rows}


def _queue() -> Samples:
    queue = runs.queue_summary()
    samples: Samples = {
        "paddock_queue_depth": queue["depth"],
        "paddock_queue_oldest_age_seconds": round(queue["oldestAgeSeconds"], 3),
    }
    for status, count in runs.count_by_status().items():
        samples[series("paddock_runs", {"status": status})] = count
    return samples


def _leases(now: float) -> Samples:
    count, oldest = overdue_leases(now)
    return {"paddock_leases_overdue": count, "paddock_lease_oldest_overdue_seconds": oldest}


def overdue_leases(now: float, tenant_id: str | None = None) -> tuple[int, float]:
    """Return how many open runs (of a tenant) have a lease that is over, and for how many seconds the oldest has been."""
    query = AgentRun.select(fn.COUNT(AgentRun.id), fn.MIN(AgentRun.lease_until)).where(
        _OPEN, AgentRun.lease_until < now
    )
    if tenant_id is not None:
        query = query.where(AgentRun.tenant_id == tenant_id)
    count, oldest = _one(query)
    return count, _age(now, oldest)


def _sandboxes(now: float) -> Samples:
    query = SessionWorker.select(SessionWorker.status, fn.COUNT(SessionWorker.session_id)).group_by(
        SessionWorker.status
    )
    samples: Samples = {series("paddock_sandboxes", {"state": state}): count for state, count in _rows(query)}
    samples["paddock_sync_lag_seconds"] = _sync_lag(now)
    return samples


def _sync_lag(now: float) -> float:
    """A running sandbox may have been written to since its last save while a run is at work in it, and where that save failed."""
    at_work = AgentRun.select().where(
        AgentRun.session_id == SessionWorker.session_id, _OPEN, AgentRun.status == RunStatus.RUNNING
    )
    unsettled = SessionWorker.last_sync_status.in_([str(SyncStatus.FAILED), str(SyncStatus.PENDING)])
    saved_at = fn.COALESCE(SessionWorker.last_sync_at, SessionWorker.started_at, SessionWorker.created_at)
    since = peewee.Case(
        None, [(SessionWorker.started_at > saved_at, SessionWorker.started_at)], saved_at
    )  # what was saved before it started says nothing
    query = SessionWorker.select(fn.MIN(since)).where(
        SessionWorker.status != WorkerStatus.DELETED, unsettled | peewee.fn.EXISTS(at_work)
    )
    return _age(now, _one(query)[0])


def _waits(now: float) -> Samples:
    open_requests = HumanLoopRequest.status == "open"
    kinds = (
        HumanLoopRequest.select(HumanLoopRequest.kind, fn.COUNT(HumanLoopRequest.id))
        .where(open_requests)
        .group_by(HumanLoopRequest.kind)
    )
    found: Samples = dict.fromkeys(
        (series("paddock_human_loop_open", {"kind": kind}) for kind in ("approval", "question")), 0
    )
    found |= {series("paddock_human_loop_open", {"kind": kind}): count for kind, count in _rows(kinds)}
    (oldest,) = _one(HumanLoopRequest.select(fn.MIN(HumanLoopRequest.created_at)).where(open_requests))
    found["paddock_human_loop_oldest_age_seconds"] = _age(now, oldest)
    state = peewee.Case(
        None,
        [(AgentRun.sandbox_stopped_at.is_null(False), "stopped"), (AgentRun.let_go_at.is_null(False), "let_go")],
        "held",
    )
    states = AgentRun.select(state, fn.COUNT(AgentRun.id)).where(_OPEN, AgentRun.status == RunStatus.WAITING_HUMAN)
    counts = {**dict.fromkeys(("held", "let_go", "stopped"), 0), **dict(_rows(states.group_by(state)))}
    return found | {series("paddock_waiting_runs", {"state": name}): count for name, count in counts.items()}


def _webhooks() -> Samples:
    (pending,) = _one(
        WebhookDelivery.select(fn.COUNT(WebhookDelivery.id)).where(WebhookDelivery.next_at.is_null(False))
    )
    return {"paddock_webhooks_pending": pending}


def _age(now: float, since: float | None) -> float:
    return 0.0 if since is None else round(max(0.0, now - since), 3)


def _rows(query: Any) -> list[tuple[str, int]]:
    return [cast(tuple[str, int], row) for row in query.tuples()]


def _one(query: Any) -> tuple[Any, ...]:
    return cast(tuple[Any, ...], query.tuples().get())
