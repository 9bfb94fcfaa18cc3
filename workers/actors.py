"""The actors: each parses what the message names and calls a service."""

from __future__ import annotations

from collections.abc import Callable

import dramatiq

from app import db, trace
from app.adapters.dramatiq_bell import DRIVE_RUNS, GRANT_WISHES, MAINTENANCE_QUEUE, RUNS_QUEUE
from app.log import logger

Actor = Callable[..., object]


def declare(broker: dramatiq.Broker, drive_runs: Actor, grant_wishes: Actor) -> None:
    """Declare the actors on a broker; the two callables are the services they call."""
    dramatiq.actor(_boundary(drive_runs), actor_name=DRIVE_RUNS, queue_name=RUNS_QUEUE, broker=broker)
    dramatiq.actor(
        _boundary(lambda _session_id: grant_wishes()),
        actor_name=GRANT_WISHES,
        queue_name=MAINTENANCE_QUEUE,
        broker=broker,
    )


def _boundary(work: Actor) -> Actor:
    """An unknown exception ends the message, is logged whole, and is never retried by Dramatiq: SQL decides about that."""

    def actor(*arguments: str) -> None:
        try:
            with db.connection(), logger.contextualize(trace_id=trace.new_id()):
                work(*arguments)
        except Exception:  # noqa: BLE001 - the boundary of STYLE.md
            logger.exception("actor failed")

    return actor
