"""What an agent's journal says about its run: how many agents were started, and what stepping it once gives. PROMISES P1."""

from __future__ import annotations

from typing import Any

from app.container import Container
from app.domain.journal import agent_id
from app.models import AgentRun, RunEvent
from app.services import run_launch

Made = list[tuple[str, Any, str]]
"""`(type, data, src)` of events that come from journal records."""


def starts_of(container: Container, run: AgentRun) -> int:
    """Count the agent processes that were started for a run: one journal with one `spawn` record each."""
    executor = container.sandboxes.connect(run.session_id)
    assert executor is not None
    journals = [executor.follow(agent_id(run.id, attempt), 0) for attempt in range(1, run.attempt + 1)]
    return sum(record.kind == "spawn" for journal in journals for record in journal)


def stepped_once(container: Container, run: AgentRun) -> Made:
    """Return the events that stepping the journal of the run's last attempt once, without interruption, gives."""
    launch = run_launch.recall(run, container.settings.provider_settings)
    turn = container.providers.get(run.provider).begin(launch)
    executor = container.sandboxes.connect(run.session_id)
    assert executor is not None
    events: Made = []
    for record in executor.follow(agent_id(run.id, run.attempt), 0):
        events += [(str(kind), data, f"{run.attempt}:{record.n}") for kind, data in turn.step(record).events]
    return events


def logged(run: AgentRun) -> Made:
    """Return the events of the log that come from journal records of the run's last attempt."""
    rows = RunEvent.select().where(RunEvent.run_id == run.id).order_by(RunEvent.seq)
    found = [(row.type, row.data, row.src) for row in rows]
    return [event for event in found if event[2].startswith(f"{run.attempt}:") and not event[2].endswith(":-")]
