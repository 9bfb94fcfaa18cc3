"""What has had its time and is worth nothing any more: keys, links, log-ins, deliveries, dead processes. What may be worth something
is `retention`'s. Each delete is one conditional statement over a bounded number of rows: two at once, or one that breaks off, do
no harm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import db
from app.config import Settings
from app.models import HumanLoopRequest, IdempotencyKey, LoginLink, WebhookDelivery, WebSession
from app.services import worker_processes

BATCH = 1000
LOGIN_LINK_SECONDS = 86_400.0
WEB_SESSION_SECONDS = 7 * 86_400.0
DELIVERY_SECONDS = 30 * 86_400.0
"""How long after their end these are still kept, for people who look into what happened."""


def expire(settings: Settings) -> Mapping[str, int]:
    """Delete up to `BATCH` rows of each kind; return how many of which."""
    now = db.now()
    keys, links, sessions = IdempotencyKey.created_at, LoginLink.expires_at, WebSession.expires_at
    return {
        "idempotency_keys": _delete(IdempotencyKey, keys, keys < now - settings.idempotency_seconds),
        "login_links": _delete(LoginLink, links, links < now - LOGIN_LINK_SECONDS),
        "web_sessions": _delete(WebSession, sessions, sessions < now - WEB_SESSION_SECONDS),
        "webhook_deliveries": _delete(WebhookDelivery, WebhookDelivery.created_at, _told_long_ago(now)),
        "worker_processes": worker_processes.forget_gone(),
    }


def _told_long_ago(now: float) -> Any:
    """A delivery is what keeps a request from being told of twice: that of an open one stays."""
    still_open = HumanLoopRequest.select(HumanLoopRequest.id).where(HumanLoopRequest.status == "open")
    return (
        WebhookDelivery.next_at.is_null()
        & (WebhookDelivery.created_at < now - DELIVERY_SECONDS)
        & WebhookDelivery.subject.not_in(still_open)
    )


def _delete(table: Any, age: Any, old: Any) -> int:
    """Delete the oldest of the old ones."""
    with db.transaction():
        last = table.select(age).where(old).order_by(age).limit(1).offset(BATCH - 1).scalar()
        query = table.delete().where(old if last is None else old & (age <= last))
        return int(query.execute())
