"""The rules whose break an operator is told of (SPEC §8). Reads only; who is told, and how often, is in `webhooks`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from peewee import fn

from app import db
from app.config import Settings
from app.domain.external import EXTERNAL
from app.domain.failure import FailureCode
from app.domain.run_state import RunStatus
from app.domain.worker_state import SyncStatus, WorkerStatus
from app.errors import Unavailable
from app.models import AgentRun, SessionWorker, Tenant
from app.ports import ProcessBoard
from app.services import gauges, process_health, provider_breaker

LEASE_SECONDS = 120.0
"""A lease that is over is taken up within seconds; one that nobody takes for so long is stuck."""
BUDGET_SECONDS = 3600.0

PROCESSES = "processes_wedged"
RULES = ("queue_age", "leases_lost", "syncs_failed", "budgets_exceeded", "providers_unavailable", PROCESSES)

Broken = tuple[str, str]
"""A tenant and a rule. Processes belong to the installation: its first tenant stands for it."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What is broken, with what receivers get of it; `unknown` names the rules that could not be looked at now."""

    broken: Mapping[Broken, Mapping[str, Any]]
    unknown: frozenset[str] = frozenset()


def look(settings: Settings, board: ProcessBoard | None) -> Findings:
    """Look at every rule for every tenant."""
    tenants = [tenant.id for tenant in Tenant.select(Tenant.id).order_by(Tenant.id)]
    broken = {(tenant, rule): data for tenant in tenants for rule, data in _of_tenant(settings, tenant)}
    if board is None or not tenants:
        return Findings(broken, frozenset({PROCESSES}))
    try:
        states = process_health.look(board, settings.wedged_seconds)
    except Unavailable:
        return Findings(broken, frozenset({PROCESSES}))
    unwell = [state for state in states if state.state != "ok"]
    if unwell:
        told = [
            {"component": each.component, "process": each.short_name, "state": each.state, "why": each.why}
            | {"seconds": round(each.seconds)}
            for each in unwell
        ]
        broken[tenants[0], PROCESSES] = {"processes": told}
    return Findings(broken)


def _of_tenant(settings: Settings, tenant_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    now = db.now()
    if count := _waiting_for_workers(tenant_id, now - settings.alert_queue_seconds):
        yield "queue_age", {"queued": count, "olderThanSeconds": settings.alert_queue_seconds}
    lost, seconds = gauges.overdue_leases(now - LEASE_SECONDS, tenant_id)
    if lost:
        yield "leases_lost", {"runs": lost, "forSeconds": LEASE_SECONDS, "oldestSeconds": seconds + LEASE_SECONDS}
    failed = SessionWorker.select().where(
        SessionWorker.tenant_id == tenant_id,
        SessionWorker.last_sync_status == SyncStatus.FAILED,
        SessionWorker.status != WorkerStatus.DELETED,
    )
    if count := failed.count():
        yield "syncs_failed", {"sandboxes": count}
    spent = AgentRun.select().where(
        AgentRun.tenant_id == tenant_id,
        AgentRun.failure_code == FailureCode.BUDGET_EXCEEDED,
        AgentRun.finished_at > now - BUDGET_SECONDS,
    )
    if count := spent.count():
        yield "budgets_exceeded", {"runs": count, "withinSeconds": BUDGET_SECONDS}
    if failing := provider_breaker.list_open(tenant_id):
        told = [{"provider": row.provider, "failureCode": row.failure_code, "remedy": row.remedy} for row in failing]
        yield "providers_unavailable", {"providers": told}


def _waiting_for_workers(tenant_id: str, before: float) -> int:
    """Count the runs that have waited for a worker and for nothing else since then: first of their sessions, not for an executor to
    bind itself, not for a provider that fails (`providers_unavailable` tells of that)."""
    earlier = AgentRun.alias()
    in_the_way = earlier.select().where(
        earlier.session_id == AgentRun.session_id,
        earlier.session_seq < AgentRun.session_seq,
        earlier.finished_at.is_null() | (earlier.finished_at >= before),
    )
    failing = [row.provider for row in provider_breaker.list_open(tenant_id)]
    query = AgentRun.select().where(
        AgentRun.tenant_id == tenant_id,
        AgentRun.status == RunStatus.QUEUED,
        AgentRun.created_at < before,
        AgentRun.retry_at.is_null() | (AgentRun.retry_at < before),
        AgentRun.provider.not_in([EXTERNAL, *failing]),
        ~fn.EXISTS(in_the_way),
    )
    return int(query.count())
