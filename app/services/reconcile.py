"""Runs without a living holder, compared with what their executors say is true (SPEC §8). May run twice or at once.

A run whose lease is held is left alone. One that was let go while it waits is taken up where its agent moved or is gone. For one
whose lease is over somebody is rung for: whoever claims it reads the agent's journal and goes on from there, so nothing is decided
here; the answer says what he will find.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from app import db
from app.domain.journal import agent_id
from app.domain.run_state import ACTIVE
from app.log import logger
from app.models import AgentRun
from app.ports import AgentState, Bell, ExecutorError
from app.services import runs
from app.services.session_workers import SessionWorkers
from app.services.sweeps import RINGS
from app.services.worker_sweeps import SweepResult

PARALLEL = 4
LIMIT = 200

Outcome = Literal["done", "skipped", "failed"]


@dataclass
class Reconciliation:
    """One comparison. Items `{runId, sessionId, outcome, detail}` come as the executors answer."""

    expected: int
    items: list[dict[str, Any]] = field(default_factory=list)

    def find_result(self) -> dict[str, Any] | None:
        """Return what came out once every executor has answered or was given up."""
        return self.look() if len(self.items) >= self.expected else None

    def look(self) -> dict[str, Any]:
        """Return `{checked, done, skipped, failed, pending, items}` as it is now."""
        items = list(self.items)
        counts = Counter(item["outcome"] for item in items)
        outcomes = {name: counts[name] for name in ("done", "skipped", "failed")}
        return {"checked": self.expected, **outcomes, "pending": self.expected - len(items), "items": items}


class Reconcile:
    """Compares runs with executors. `done`: somebody was rung for; `skipped`: it is as it should be."""

    def __init__(self, session_workers: SessionWorkers, bell: Bell) -> None:
        self._session_workers, self._bell = session_workers, bell

    def begin(self, tenant_id: str) -> Reconciliation:
        """Compare the runs of one tenant in the background; the caller looks how far it is."""
        found = list_without_holder(tenant_id)
        going = Reconciliation(len(found))
        threading.Thread(target=self._compare, args=(found, going), name="reconcile", daemon=True).start()
        return going

    def sweep(self) -> SweepResult:
        """Compare the runs of all tenants."""
        found = list_without_holder()
        going = Reconciliation(len(found))
        self._compare(found, going)
        result = going.look()
        return SweepResult(result["checked"], result["done"], result["skipped"], result["failed"], result["items"])

    def _compare(self, found: Sequence[AgentRun], going: Reconciliation) -> None:
        with ThreadPoolExecutor(PARALLEL, thread_name_prefix="reconcile") as pool:
            for item in pool.map(self._item, found):
                going.items.append(item)
        for _ in range(min(RINGS, sum(item["outcome"] == "done" for item in going.items))):
            self._bell.ring_runs()

    def _item(self, run: AgentRun) -> dict[str, Any]:
        with db.connection(), logger.contextualize(run_id=run.id, session_id=run.session_id):
            outcome, detail = self._look(run)
            if outcome != "skipped":
                logger.info("run without a holder", status=run.status, outcome=outcome, truth=detail)
        return {"runId": run.id, "sessionId": run.session_id, "outcome": outcome, "detail": detail}

    def _look(self, run: AgentRun) -> tuple[Outcome, str]:
        if run.sandbox_stopped_at is not None and run.let_go_at is not None:
            return "skipped", "waits for a person; its sandbox was stopped"
        try:
            executor = self._session_workers.connect(run.session_id)
            state = executor.find_agent(agent_id(run.id, run.attempt)) if executor is not None else None
        except ExecutorError as error:
            return "failed", f"the executor does not answer: {error}"
        except Exception as error:  # noqa: BLE001 - a thread's boundary: what one look fails of stops no other
            logger.exception("run not reconciled")
            return "failed", type(error).__name__
        truth = "the sandbox does not run" if executor is None else _truth(state)
        if run.let_go_at is None:
            return "done", truth
        if state is not None and state.running and state.last <= (run.let_go_record or 0):
            return "skipped", "waits for a person; its agent too"
        return ("done" if runs.take_up(run) else "skipped"), truth


def list_without_holder(tenant_id: str | None = None) -> list[AgentRun]:
    """Return the active runs (of one tenant) whose lease nobody holds, the oldest first."""
    unheld = AgentRun.lease_until.is_null() | (AgentRun.lease_until <= db.clock())
    query = AgentRun.select().where(
        AgentRun.finished_at.is_null(),
        AgentRun.status.in_([str(status) for status in ACTIVE]),
        AgentRun.bound_until.is_null(),  # an external executor's: there is no agent of ours to ask for
        unheld,
    )
    if tenant_id is not None:
        query = query.where(AgentRun.tenant_id == tenant_id)
    return list(query.order_by(AgentRun.id).limit(LIMIT))


def _truth(state: AgentState | None) -> str:
    if state is None:
        return "the agent is gone"
    return "the agent is at work" if state.running else f"the agent has ended: {state.exit}"
