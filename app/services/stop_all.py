"""Stopping every open run of a tenant because a person asks: one transaction of stop commands, then the bells."""

from __future__ import annotations

from typing import Any

from app import db, ids
from app.models import AgentRun, RunCommand
from app.ports import Bell

ROWS = 500


def stop_all(tenant_id: str, by: str, reason: str, bell: Bell) -> dict[str, Any]:
    """Ask all open runs of a tenant to stop; return `{checked, done, skipped, failed, items}`. `skipped` were asked before. A run
    that is made meanwhile is not one of them."""
    with db.transaction():
        now = db.now()
        columns = (AgentRun.id, AgentRun.status, AgentRun.session_id, AgentRun.stop_requested_at)
        is_open = (AgentRun.tenant_id == tenant_id) & AgentRun.finished_at.is_null()
        found = list(AgentRun.select(*columns).where(is_open).order_by(AgentRun.id))
        fresh = [run for run in found if run.stop_requested_at is None]
        for start in range(0, len(fresh), ROWS):
            _ask(tenant_id, fresh[start : start + ROWS], {"by": by, "reason": reason}, now)
    for run in fresh:
        bell.ring_command(run.id)
    asked = {run.id for run in fresh}
    items = [
        {
            "runId": run.id,
            "sessionId": run.session_id,
            "outcome": "done" if run.id in asked else "skipped",
            "detail": run.status,
        }
        for run in found
    ]
    return {
        "checked": len(items),
        "done": len(fresh),
        "skipped": len(items) - len(fresh),
        "failed": 0,
        "pending": 0,
        "items": items,
    }


def _ask(tenant_id: str, some: list[AgentRun], payload: dict[str, Any], now: float) -> None:
    rows = [
        {
            "id": ids.new_id("cmd"),
            "tenant_id": tenant_id,
            "run_id": run.id,
            "command_key": "stop",
            "kind": "stop",
            "payload": payload,
            "created_at": now,
        }
        for run in some
    ]
    RunCommand.insert_many(rows).on_conflict_ignore().execute()
    AgentRun.update(stop_requested_at=now).where(
        AgentRun.id.in_([run.id for run in some]), AgentRun.finished_at.is_null(), AgentRun.stop_requested_at.is_null()
    ).execute()
