"""Telling other systems that somebody is waited for, and operators that something is wrong. SPEC §8.

Each fact is told once: a row per subject is written first, then sent until the receiver took it. Two processes may do this at
once: a row is taken for one try by moving its `next_at`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import peewee

from app import db, ids
from app.config import Settings
from app.domain.run_state import RunStatus
from app.domain.worker_state import SyncStatus, WorkerStatus
from app.errors import Unavailable
from app.log import logger
from app.models import AgentRun, HumanLoopRequest, SessionWorker, Tenant, WebhookDelivery
from app.ports import WebhookSender

TRY_SECONDS = 30.0
"""How long a try may take before somebody else takes the row."""
PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 86400.0)
LIMIT = 100


@dataclass(frozen=True, slots=True)
class Fact:
    """`subject` names it once and for all; `data` is what receivers get."""

    tenant_id: str
    subject: str
    target: str
    type: str
    data: Mapping[str, Any]


class Webhooks:
    """The outgoing webhooks of this installation; without an address nothing is written and nothing sent."""

    def __init__(self, settings: Settings, sender: WebhookSender) -> None:
        self._urls = {"webhook": settings.webhook_url, "alert": settings.alert_url}
        self._settings, self._sender = settings, sender

    def tell(self) -> dict[str, int]:
        """Write down what is new and send what is due; returns `{told, delivered, failed}`."""
        told = sum(self._write(fact) for fact in self._facts())
        results = [self._send(row) for row in self._due()]
        return {"told": told, "delivered": results.count(True), "failed": results.count(False)}

    def _facts(self) -> Iterator[Fact]:
        if self._urls["webhook"]:
            yield from _waited_for(self._settings.address)
        if self._urls["alert"]:
            yield from _alerts(self._settings)

    def _write(self, fact: Fact) -> bool:
        now = db.now()
        payload = {"type": fact.type, "timestamp": ids.rfc3339_of(now), "data": dict(fact.data)}
        inserted = (
            WebhookDelivery.insert(
                id=ids.new_id("whd"),
                tenant_id=fact.tenant_id,
                subject=fact.subject,
                target=fact.target,
                type=fact.type,
                payload=payload,
                next_at=now,
                created_at=now,
            )
            .on_conflict_ignore()
            .as_rowcount()
            .execute()
        )
        return bool(inserted)

    def _due(self) -> list[WebhookDelivery]:
        query = WebhookDelivery.select().where(WebhookDelivery.next_at <= db.now())
        return list(query.order_by(WebhookDelivery.next_at).limit(LIMIT))

    def _send(self, row: WebhookDelivery) -> bool | None:
        url = self._urls[row.target]
        mine = (WebhookDelivery.id == row.id, WebhookDelivery.next_at == row.next_at)
        if not url or WebhookDelivery.update(next_at=db.now() + TRY_SECONDS).where(*mine).execute() != 1:
            return None
        this = WebhookDelivery.id == row.id
        try:
            self._sender.send(url, row.id, orjson.dumps(row.payload))
        except Unavailable as failure:
            again = db.now() + PAUSES_SECONDS[row.tries] if row.tries < len(PAUSES_SECONDS) else None
            logger.warning("webhook not delivered", id=row.id, tries=row.tries + 1, error=failure.message)
            fields = {"tries": row.tries + 1, "next_at": again, "error": failure.message}
            WebhookDelivery.update(fields).where(this).execute()
            return False
        fields = {"tries": row.tries + 1, "next_at": None, "delivered_at": db.now(), "error": None}
        WebhookDelivery.update(fields).where(this).execute()
        return True


def _waited_for(address: str) -> Iterator[Fact]:
    """Requests that are open and that nobody was told of."""
    told = WebhookDelivery.select(WebhookDelivery.subject).where(WebhookDelivery.subject == HumanLoopRequest.id)
    query = HumanLoopRequest.select().where(HumanLoopRequest.status == "open", ~peewee.fn.EXISTS(told))
    for request in list(query.order_by(HumanLoopRequest.created_at).limit(LIMIT)):
        data = {
            "requestId": request.id,
            "runId": request.run_id,
            "sessionId": request.session_id,
            "kind": request.kind,
            "title": request.title,
            "createdAt": ids.rfc3339_of(request.created_at),
            "url": f"{address}/api/human-loop/pending",
        }
        yield Fact(request.tenant_id, request.id, "webhook", "human_loop.requested", data)


def _alerts(settings: Settings) -> Iterator[Fact]:
    """The rules, each told once an hour for each tenant as long as it holds."""
    hour = int(db.now() // 3600)
    for tenant in list(Tenant.select(Tenant.id)):
        for rule, data in _broken_rules(settings, tenant.id):
            yield Fact(tenant.id, f"{tenant.id}:{rule}:{hour}", "alert", f"alert.{rule}", {"rule": rule, **data})


def _broken_rules(settings: Settings, tenant_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    now = db.now()
    late = now - settings.alert_queue_seconds
    queued = AgentRun.select().where(
        AgentRun.tenant_id == tenant_id,
        AgentRun.status == RunStatus.QUEUED,
        AgentRun.retry_at.is_null(),
        AgentRun.created_at < late,
    )
    if count := queued.count():
        yield "queue_age", {"queued": count, "olderThanSeconds": settings.alert_queue_seconds}
    lost = AgentRun.select().where(
        AgentRun.tenant_id == tenant_id, AgentRun.finished_at.is_null(), AgentRun.lease_until < now - 120
    )
    if count := lost.count():
        yield "leases_lost", {"runs": count, "forSeconds": 120}
    failed = SessionWorker.select().where(
        SessionWorker.tenant_id == tenant_id,
        SessionWorker.last_sync_status == SyncStatus.FAILED,
        SessionWorker.status != WorkerStatus.DELETED,
    )
    if count := failed.count():
        yield "syncs_failed", {"sandboxes": count}
