"""What the scheduler rings for: work that nobody rang for, or whose ring was lost. Every sweep may run twice or at once."""

from __future__ import annotations

from app.models import SessionWorker
from app.ports import Bell, EventStream
from app.services import holders, log_closing, run_claims

RINGS = 100
"""Bells per sweep: each wakes one worker thread, which drives one run after another. A dead worker may leave many."""


def sweep_runs(bell: Bell) -> int:
    """Ring where a lease is over, its holder is dead, a retry is due, a command waits, or a queued run was not rung for; returns
    how often."""
    holders.end_leases_of_the_dead()
    waiting = min(RINGS, run_claims.count(RINGS))
    for _ in range(waiting):
        bell.ring_runs()
    return waiting


def close_streams(stream: EventStream) -> int:
    """Complete and expire the streams of runs whose log is sealed; returns how many."""
    return log_closing.close_streams(stream, limit=200)


def ring_wishes(bell: Bell) -> int:
    """Ring for wishes about sandboxes that nobody has granted yet; returns how many there are."""
    query = SessionWorker.select(SessionWorker.session_id).where(SessionWorker.wish.is_null(False))
    sessions = [row.session_id for row in query.order_by(SessionWorker.wish_at).limit(RINGS)]
    for session_id in sessions:
        bell.ring_session_worker(session_id)
    return len(sessions)
