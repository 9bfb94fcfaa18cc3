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
from app.errors import Unavailable
from app.log import logger
from app.models import AgentRun, HumanLoopRequest, WebhookDelivery
from app.ports import ProcessBoard, WebhookSender
from app.services import alerts
from app.services.counting import Counters

TRY_SECONDS = 30.0
"""How long a try may take before somebody else takes the row."""
PAUSES_SECONDS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 86400.0)
LIMIT = 100
LAST_TOLD = 500
RESOLVED = ".resolved"
"""At the end of an alert's type: the rule holds again."""


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

    def __init__(
        self,
        settings: Settings,
        sender: WebhookSender,
        board: ProcessBoard | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._board, self._counters = board, counters
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
            yield from _alerts(self._settings, self._board)

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
            with logger.contextualize(**_labels(row)):
                self._sender.send(url, row.id, orjson.dumps(row.payload))
        except Unavailable as failure:
            again = db.now() + PAUSES_SECONDS[row.tries] if row.tries < len(PAUSES_SECONDS) else None
            logger.warning("webhook not delivered", id=row.id, tries=row.tries + 1, error=failure.message)
            fields = {"tries": row.tries + 1, "next_at": again, "error": failure.message}
            WebhookDelivery.update(fields).where(this).execute()
            self._count(row.target, "failed")
            return False
        fields = {"tries": row.tries + 1, "next_at": None, "delivered_at": db.now(), "error": None}
        WebhookDelivery.update(fields).where(this).execute()
        self._count(row.target, "delivered")
        return True

    def _count(self, target: str, result: str) -> None:
        if self._counters is not None:
            self._counters.add("paddock_webhooks_total", {"target": target, "result": result})


def _labels(row: WebhookDelivery) -> dict[str, str]:
    """Return what this webhook belongs to: the sender passes the trace on."""
    data = row.payload["data"]
    names = {"traceId": "trace_id", "sessionId": "session_id", "runId": "run_id"}
    return {label: data[name] for name, label in names.items() if data.get(name)}


def _waited_for(address: str) -> Iterator[Fact]:
    """Requests that are open and that nobody was told of."""
    told = WebhookDelivery.select(WebhookDelivery.subject).where(WebhookDelivery.subject == HumanLoopRequest.id)
    query = HumanLoopRequest.select().where(HumanLoopRequest.status == "open", ~peewee.fn.EXISTS(told))
    for request in list(query.order_by(HumanLoopRequest.created_at).limit(LIMIT)):
        data = {
            "requestId": request.id,
            "runId": request.run_id,
            "sessionId": request.session_id,
            "traceId": AgentRun.get_by_id(request.run_id).trace_id,
            "kind": request.kind,
            "title": request.title,
            "createdAt": ids.rfc3339_of(request.created_at),
            **({"deadlineAt": ids.rfc3339_of(request.deadline_at)} if request.deadline_at is not None else {}),
            "url": f"{address}/api/human-loop/pending",
        }
        yield Fact(request.tenant_id, request.id, "webhook", "human_loop.requested", data)


def _alerts(settings: Settings, board: ProcessBoard | None) -> Iterator[Fact]:
    """Each rule is told once an hour for each tenant as long as it is broken, and once when it holds again. A rule that breaks again
    after that is news."""
    found = alerts.look(settings, board)
    hour = int(db.now() // 3600)
    last = _last_told()
    for (tenant, rule), data in found.broken.items():
        row = last.get((tenant, rule))
        again = f":{row.id}" if row is not None and row.type.endswith(RESOLVED) else ""
        yield Fact(tenant, f"{tenant}:{rule}:{hour}{again}", "alert", f"alert.{rule}", {"rule": rule, **data})
    for (tenant, rule), row in last.items():
        if (tenant, rule) not in found.broken and rule not in found.unknown and not row.type.endswith(RESOLVED):
            data = {"rule": rule, "toldAt": ids.rfc3339_of(row.created_at)}
            yield Fact(tenant, f"{row.subject}{RESOLVED}", "alert", f"alert.{rule}{RESOLVED}", data)


def _last_told() -> dict[alerts.Broken, WebhookDelivery]:
    """Return what was told last of each rule."""
    query = WebhookDelivery.select().where(WebhookDelivery.target == "alert")
    last: dict[alerts.Broken, WebhookDelivery] = {}
    for row in list(query.order_by(WebhookDelivery.created_at.desc(), WebhookDelivery.id.desc()).limit(LAST_TOLD)):
        rule = row.type.removeprefix("alert.").removesuffix(RESOLVED)
        last.setdefault((row.tenant_id, rule), row)
    return last
