"""The jobs: name, interval, and what each calls. Every run of a job says in one log line what it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app import db
from app.container import Container
from app.log import logger
from app.services import sweeps
from app.services.worker_sweeps import SweepResult


@dataclass(frozen=True, slots=True)
class Job:
    """`run` returns what it did; an empty answer (0, None, {}) is not worth a line."""

    name: str
    seconds: float
    run: Callable[[], Any]


def jobs(container: Container) -> list[Job]:
    """Return the jobs of the main job's scope (SPEC §8)."""
    settings, workers = container.settings, container.session_workers
    return [
        Job("sweep_runs", settings.sweep_seconds, lambda: sweeps.sweep_runs(container.bell)),
        Job("close_streams", settings.sweep_seconds, lambda: sweeps.close_streams(container.stream)),
        Job("look_at_waiting", settings.waiting_look_seconds, container.waiting.look),
        Job("stop_waiting", _often(settings.waiting_keep_seconds, 5.0), lambda: container.waiting.stop_long(db.now())),
        Job("tell_webhooks", 2.0, lambda: _if_any(container.webhooks.tell())),
        Job("ring_wishes", settings.sweep_seconds, lambda: sweeps.ring_wishes(container.bell)),
        Job("sync_stale", max(5.0, settings.lease_duration), lambda: _did(workers.sync_stale(db.now()))),
        Job("stop_idle", _often(settings.idle_seconds, 30.0), lambda: _did(workers.stop_idle(db.now()))),
        Job(
            "remove_stopped",
            _often(settings.remove_after_seconds, 600.0),
            lambda: _did(workers.remove_stopped(db.now())),
        ),
    ]


def perform(job: Job) -> None:
    """Run a job once; a failure is logged and the next tick tries again."""
    try:
        with db.connection():
            did = job.run()
    except Exception:  # noqa: BLE001 - a boundary: one failing job must not end the scheduler
        logger.exception("job failed", job=job.name)
        return
    if did:
        logger.info("job done", job=job.name, did=did)


def _often(age_seconds: float, longest: float) -> float:
    """Look a few times within the age that matters, every second at most."""
    return max(1.0, min(longest, age_seconds / 4))


def _if_any(counts: dict[str, int]) -> dict[str, int] | None:
    return counts if any(counts.values()) else None


def _did(result: SweepResult) -> dict[str, int] | None:
    return {"done": result.done, "failed": result.failed} if result.done or result.failed else None
