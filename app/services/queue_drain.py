"""Draining the queue of a tenant because a person asks: ring until nothing is left to do, and count what became of it.

Workers do the work; a run that waits for a person, or for the time of its next try, is not waited for.
"""

from __future__ import annotations

import time
from collections import Counter

from app import db
from app.domain.run_state import RunStatus
from app.models import AgentRun
from app.ports import Bell
from app.services import run_claims
from app.services.sweeps import RINGS

RING_AGAIN_SECONDS = 0.5


class Drain:
    """One drain; `find_result` is asked again and again until it answers."""

    def __init__(self, tenant_id: str, bell: Bell) -> None:
        self._tenant_id, self._bell = tenant_id, bell
        self._since = db.now()
        self._failures = {run.id: run.failures for run in self._of_tenant(AgentRun.finished_at.is_null())}
        self._rung_at = float("-inf")

    def find_result(self) -> dict[str, int] | None:
        """Ring where something is claimable; return the counts once nothing of the tenant is claimable or at work."""
        claimable = run_claims.count(RINGS, self._tenant_id)
        if claimable and time.monotonic() - self._rung_at >= RING_AGAIN_SECONDS:
            self._rung_at = time.monotonic()
            for _ in range(claimable):
                self._bell.ring_runs()
        working = AgentRun.status.in_([str(RunStatus.CLAIMED), str(RunStatus.RUNNING)])
        at_work = AgentRun.select().where(
            AgentRun.tenant_id == self._tenant_id, AgentRun.finished_at.is_null(), working
        )
        return None if claimable or at_work.exists() else self.look()

    def look(self) -> dict[str, int]:
        """Return `{succeeded, retried, failed, canceled}` since the drain began; `failed` counts blocked runs too."""
        ended = Counter[str]()
        retried = 0
        for run in self._of_tenant(AgentRun.finished_at.is_null() | (AgentRun.finished_at >= self._since)):
            failures = run.failures - self._failures.get(run.id, 0)
            if run.finished_at is not None:
                ended[run.status] += 1
                failures -= run.status == RunStatus.FAILED and failures > 0
            retried += failures
        return {
            "succeeded": ended[RunStatus.SUCCEEDED],
            "retried": retried,
            "failed": ended[RunStatus.FAILED] + ended[RunStatus.BLOCKED],
            "canceled": ended[RunStatus.CANCELED],
        }

    def _of_tenant(self, condition: object) -> list[AgentRun]:
        columns = (AgentRun.id, AgentRun.status, AgentRun.failures, AgentRun.finished_at)
        return list(AgentRun.select(*columns).where(AgentRun.tenant_id == self._tenant_id, condition))
