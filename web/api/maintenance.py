"""Maintenance because a person asks, now and for his own tenant: comparing runs with executors, saving again, draining the queue."""

from __future__ import annotations

from app import db
from app.domain.permissions import Permission, Principal
from app.services import worker_cleanup, worker_sweeps
from app.services.queue_drain import Drain
from web.api.session_workers import clean_up
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import WaitBody
from web.schemas.maintenance import DrainView
from web.schemas.session_workers import CleanupBody, CleanupView
from web.waiting import wait_for
from web.wire import Reply

routes = Routes("maintenance")


@routes.post("/api/reconcile/runs", Permission.QUEUE_MAINTAIN, answers=CleanupView)
def reconcile_runs(principal: Principal, parts: Parts, body: WaitBody) -> Reply:
    """Ask executors what is true of the tenant's runs that nobody holds, and ring for those that somebody must take up."""
    going = parts.container.reconcile.begin(principal.tenant_id)
    done = wait_for(going.find_result, body.timeout_ms)
    view = CleanupView.model_validate(done or going.look())
    return Reply(view) if done else Reply(view, 202, {"Location": "/api/runs"})


@routes.post("/api/reconcile/sync", Permission.WORKER_MAINTAIN, answers=CleanupView)
def reconcile_sync(principal: Principal, parts: Parts, body: CleanupBody) -> Reply:
    """Save again where the last save of the tenant's running sandboxes failed or was cut off."""
    seconds = parts.settings.lease_duration if body.older_than_seconds is None else body.older_than_seconds
    found = worker_sweeps.list_stale_syncs(db.now() - seconds)
    return clean_up(parts, worker_cleanup.begin(principal.tenant_id, found, "sync"), body)


@routes.post("/api/runs/queue/drain", Permission.QUEUE_MAINTAIN, answers=DrainView)
def drain(principal: Principal, parts: Parts, body: WaitBody) -> Reply:
    """Ring until nothing of the tenant is claimable or at work; tell what ended meanwhile."""
    draining = Drain(principal.tenant_id, parts.container.bell)
    done = wait_for(draining.find_result, body.timeout_ms)
    view = DrainView.model_validate(done or draining.look())
    return Reply(view) if done else Reply(view, 202, {"Location": "/api/runs/queue"})
