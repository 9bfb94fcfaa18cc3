"""Maintenance: the jobs by name, how often each runs, what each calls, and the record of what it did (SPEC §8).

The scheduler ticks them, `paddock maintain JOB` runs one now. Each may run twice or at once: what a job takes up, it takes by a
conditional change, so that of two that see the same thing one has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app import db
from app.config import Settings
from app.log import logger
from app.ports import Bell, EventStream, Tally
from app.services import expiry, human_loop, sweeps
from app.services.reconcile import Reconcile
from app.services.retention import Retention
from app.services.session_workers import SessionWorkers
from app.services.waiting import Waiting
from app.services.webhooks import Webhooks
from app.services.worker_sweeps import SweepResult

RUNS = "paddock_maintenance_runs_total"
EFFECTS = "paddock_maintenance_effects_total"
FAILURES = "paddock_maintenance_failures_total"


@dataclass(frozen=True, slots=True)
class MaintenanceParts:
    """What the jobs call."""

    settings: Settings
    bell: Bell
    stream: EventStream
    session_workers: SessionWorkers
    waiting: Waiting
    webhooks: Webhooks
    reconcile: Reconcile
    tally: Tally
    retention: Retention


@dataclass(frozen=True, slots=True)
class Job:
    """`run` returns what it did: a number, or numbers by name (`failed` counts failures); nothing but zeros is not worth a line."""

    name: str
    about: str
    seconds: float
    run: Callable[[], int | Mapping[str, int]]


class Maintenance:
    """All jobs of this installation."""

    def __init__(self, parts: MaintenanceParts) -> None:
        self._parts = parts

    def jobs(self) -> list[Job]:
        """Return the jobs in the order in which people read about them."""
        parts = self._parts
        sweep, workers = parts.settings.sweep_seconds, parts.session_workers
        lease, idle, keep = (
            max(5.0, parts.settings.lease_duration),
            _often(parts.settings.idle_seconds, 30.0),
            _often(parts.settings.waiting_keep_seconds, 5.0),
        )
        remove = _often(parts.settings.remove_after_seconds, 600.0)
        look = parts.settings.waiting_look_seconds
        return [
            Job("sweep_runs", "ring for runs that nobody drives", sweep, lambda: sweeps.sweep_runs(parts.bell)),
            Job(
                "reconcile_runs",
                "ask executors about runs without a holder",
                lease,
                lambda: _did(parts.reconcile.sweep()),
            ),
            Job(
                "close_streams",
                "complete and expire the streams of ended runs",
                sweep,
                lambda: sweeps.close_streams(parts.stream),
            ),
            Job("look_at_waiting", "take up waiting runs whose agent moved", look, parts.waiting.look),
            Job(
                "stop_waiting",
                "stop sandboxes whose run waits for long",
                keep,
                lambda: parts.waiting.stop_long(db.now()),
            ),
            Job(
                "overdue_requests",
                "deny requests past a deadline whose policy says so",
                2.0,
                lambda: human_loop.expire_overdue(parts.bell),
            ),
            Job("tell_webhooks", "send webhooks and alerts", 2.0, parts.webhooks.tell),
            Job("ring_wishes", "ring for wishes about sandboxes", sweep, lambda: sweeps.ring_wishes(parts.bell)),
            Job("sync_stale", "save again what could not be saved", lease, lambda: _did(workers.sync_stale(db.now()))),
            Job(
                "stop_idle", "save and stop sandboxes that nobody uses", idle, lambda: _did(workers.stop_idle(db.now()))
            ),
            Job(
                "remove_stopped",
                "remove sandboxes stopped for long",
                remove,
                lambda: _did(workers.remove_stopped(db.now())),
            ),
            Job(
                "expire",
                "delete keys, links, log-ins and deliveries that had their time",
                600.0,
                lambda: expiry.expire(parts.settings),
            ),
            Job(
                "retention",
                "delete old logs and snapshots (PADDOCK_RETENTION_DAYS)",
                3600.0,
                lambda: parts.retention.sweep(db.now()),
            ),
        ]

    def run(self, job: Job) -> Mapping[str, int]:
        """Run a job once, count it and say what it did; what goes wrong is counted and raised."""
        labels = {"job": job.name}
        self._parts.tally.add(RUNS, labels)
        try:
            with db.connection():
                answer = job.run()
        except Exception:
            self._parts.tally.add(FAILURES, labels)
            raise
        did = answer if isinstance(answer, Mapping) else {"done": answer}
        effects = sum(count for name, count in did.items() if name != "failed")
        self._parts.tally.add(EFFECTS, labels, effects)
        self._parts.tally.add(FAILURES, labels, did.get("failed", 0))
        if any(did.values()):
            logger.info("job done", job=job.name, did=dict(did))
        return did

    def tick(self, job: Job) -> Exception | None:
        """As `run`, for the scheduler: a failure is logged and returned, and the next tick tries again."""
        try:
            self.run(job)
        except Exception as error:  # noqa: BLE001 - a boundary: one failing job must not end the scheduler
            logger.exception("job failed", job=job.name)
            return error
        return None


def _often(age_seconds: float, longest: float) -> float:
    """Look a few times within the age that matters, every second at most."""
    return max(1.0, min(longest, age_seconds / 4))


def _did(result: SweepResult) -> dict[str, Any]:
    return {"done": result.done, "failed": result.failed}
