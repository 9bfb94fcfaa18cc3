"""How runs end that reach a budget, in the driver: told by the proxy, or by the agent's own report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, ModelCall, RunCommand, RunEvent, UsageLog
from app.services import budgets
from app.services.run_creation import add_command
from tests.support.world import World, open_world


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, stop_grace_seconds=0.3) as world:
        yield world


def called(run: AgentRun, attempt: int = 1, **fields: float) -> None:
    """A call of the run's that the proxy counted."""
    given = {"input": 10, "output": 5, "cost_usd": 0.5, **fields}
    ModelCall.create(
        id=f"mcl_{run.id}_{ModelCall.select().count()}",
        tenant_id=run.tenant_id,
        run_id=run.id,
        attempt=attempt,
        protocol="messages",
        model="m",
        state="ended",
        holder="h",
        started_at=1.0,
        **given,
    )


def test_a_run_that_is_stopped_for_its_budget_fails_and_says_so(world: World) -> None:
    run = world.create("/say hello\n/sleep 60\n/say never")
    AgentRun.update(attempt=1).where(AgentRun.id == run.id).execute()  # the proxy named the attempt that goes on
    budgets.stop(AgentRun.get_by_id(run.id), "cost")
    budgets.stop(AgentRun.get_by_id(run.id), "tokens")
    ended = world.drive()
    assert (ended.status, ended.failure_code, ended.retryable) == ("failed", "budget_exceeded", 0)
    assert ended.failure_message == budgets.WORDS["cost"]
    assert ended.stop_requested_at is None


def test_an_agent_that_ended_by_itself_after_a_refused_call_is_over_its_budget_too(world: World) -> None:
    run = world.create("/say hello\n/fail agent_error")
    AgentRun.update(attempt=1).where(AgentRun.id == run.id).execute()
    stopped = AgentRun.get_by_id(run.id)
    AgentRun.update(attempt=0).where(AgentRun.id == run.id).execute()
    budgets.stop(stopped, "tokens")
    RunCommand.update(applied_seq=1).where(RunCommand.run_id == run.id).execute()  # carried out too late to be seen
    ended = world.drive()
    assert (ended.status, ended.failure_code) == ("failed", "budget_exceeded")


def test_a_persons_stop_comes_before_a_budget(world: World) -> None:
    run = world.create("/say hello")
    budgets.stop(run, "cost")
    with db.transaction():
        add_command(run.tenant_id, run.id, "stop", "stop", {"by": world.user.id})
    assert world.drive().status == "canceled"


@pytest.mark.parametrize("budget", [{"maxTokens": 15}, {"maxCostUsd": 0.25}])
def test_without_the_proxy_the_agents_own_report_counts(world: World, budget: dict[str, float]) -> None:
    run = world.create("/usage 10 5 0.25\n/sleep 60\n/say never", options={"budget": budget})
    ended = world.drive()
    assert (ended.id, ended.status, ended.failure_code) == (run.id, "failed", "budget_exceeded")


def test_a_run_that_was_answered_by_the_call_that_reached_its_budget_has_succeeded(world: World) -> None:
    run = world.create("/say done", options={"budget": {"maxTokens": 15, "maxCostUsd": 0.5}})
    called(run)
    ended = world.drive()
    assert (ended.status, ended.usage["costUsd"]) == ("succeeded", 0.5)


def test_what_was_counted_is_the_runs_usage_and_another_report_is_told(world: World) -> None:
    run = world.create("/usage 10 5 0.25\n/say done")
    called(run, input=11)
    ended = world.drive()
    assert ended.status == "succeeded"
    assert (ended.usage["input"], ended.usage["output"], ended.usage["costUsd"]) == (11, 5, 0.5)
    assert (UsageLog.get_by_id(run.id).input, UsageLog.get_by_id(run.id).cost_usd) == (11, 0.5)
    warnings = [
        event.data for event in RunEvent.select().where(RunEvent.run_id == run.id, RunEvent.type == "run.warning")
    ]
    assert [warning["code"] for warning in warnings] == ["usage_mismatch"]
    assert "input 10 against 11" in warnings[0]["message"]


def test_the_same_report_is_no_warning(world: World) -> None:
    run = world.create("/usage 10 5 0.25\n/say done")
    called(run)
    world.drive()
    assert "run.warning" not in world.types(run.id)
