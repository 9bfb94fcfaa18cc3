"""Cleaning up sandboxes because a person asks: wishes to many at once, and what became of them. The scheduler's own sweeps are
`worker_sweeps`; web starts and stops nothing itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.models import SessionWorker

SKIPPING = ("worker_busy", "run_active", "worker_not_active")
"""Refusals that mean "in use", not "failed"."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """One clean-up: the same wish to each of these."""

    wish: Literal["stop", "remove", "sync"]
    session_ids: tuple[str, ...]


def begin(tenant_id: str, candidates: Sequence[str], wish: Literal["stop", "remove", "sync"]) -> Cleanup:
    """Choose those of the candidates that are this tenant's."""
    query = SessionWorker.select(SessionWorker.session_id).where(
        SessionWorker.tenant_id == tenant_id, SessionWorker.session_id.in_(list(candidates))
    )
    return Cleanup(wish, tuple(worker.session_id for worker in query.order_by(SessionWorker.last_used_at)))


def find_result(cleanup: Cleanup) -> dict[str, Any] | None:
    """Return what became of the wishes once none is open any more."""
    result = look(cleanup)
    return result if result["pending"] == 0 else None


def look(cleanup: Cleanup) -> dict[str, Any]:
    """Return `{checked, done, skipped, failed, pending, items: [{sessionId, outcome, detail}]}` as it is now."""
    rows = {
        worker.session_id: worker
        for worker in SessionWorker.select().where(SessionWorker.session_id.in_(list(cleanup.session_ids)))
    }
    items = [_item(rows[session_id], cleanup.wish) for session_id in cleanup.session_ids]
    counts = Counter(item["outcome"] for item in items)
    outcomes = {name: counts[name] for name in ("done", "skipped", "failed", "pending")}
    return {"checked": len(items), **outcomes, "items": items}


def _item(worker: SessionWorker, wish: str) -> dict[str, Any]:
    error = worker.wish_error
    if worker.wish == wish:
        outcome = "pending"
    elif error is None:
        outcome = "done"
    else:
        outcome = "skipped" if error.partition(":")[0] in SKIPPING else "failed"
    return {"sessionId": worker.session_id, "outcome": outcome, "detail": error}
