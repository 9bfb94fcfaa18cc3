"""Runs that a test keeps live: waiting until all of them stream, and ending them."""

from __future__ import annotations

from collections.abc import Collection

from app.domain.run_state import RunStatus
from app.models import AgentRun, RunEvent
from app.services.run_creation import add_command
from tests.support.waiting import eventually
from tests.support.world import World


def count_open(ids: Collection[str]) -> int:
    return int(AgentRun.select().where(AgentRun.id.in_(list(ids)), AgentRun.finished_at.is_null()).count())


def all_closed(ids: Collection[str]) -> bool:
    """True where every run has ended and its stream in Redis is whole."""
    return not AgentRun.select().where(AgentRun.id.in_(list(ids)), AgentRun.stream_closed_at.is_null()).exists()


def all_stream(ids: Collection[str]) -> bool:
    """True where every run is held by a worker and its agent has said something."""
    mine = AgentRun.id.in_(list(ids))
    held = (
        AgentRun.select().where(mine, AgentRun.status == RunStatus.RUNNING, AgentRun.lease_owner.is_null(False)).count()
    )
    if held < len(ids):
        return False
    said = RunEvent.select(RunEvent.run_id).where(RunEvent.run_id.in_(list(ids)), RunEvent.type == "message.delta")
    return bool(said.distinct().count() == len(ids))


def stop_all(world: World, ids: Collection[str]) -> None:
    """Ask all of them to stop, and wait until they have."""
    for run_id in ids:
        add_command(world.user.tenant_id, run_id, "stop", "stop", {"by": world.user.id, "reason": "enough"})
        world.container.bell.ring_command(run_id)
    eventually(lambda: all_closed(ids), 180, what="all runs are canceled and their streams whole")
