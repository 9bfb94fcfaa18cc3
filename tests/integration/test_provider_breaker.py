"""A provider that fails: its runs wait without a worker, one at a time tries, and other providers' runs never notice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
import pytest

from app import db
from app.config import Settings
from app.domain.failure import Failure, FailureCode
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.errors import LimitExceeded
from app.models import AgentRun, ProviderBreaker
from app.services import alerts, gauges, provider_breaker, run_claims
from app.services.run_creation import add_command
from app.services.run_worker import SPARE_THREADS, RunWorker
from app.services.waiting_reason import waiting_for
from tests import cast, factories
from tests.cast import Cast
from tests.support.waiting import eventually
from tests.support.world import World, open_world

SETTINGS = Settings(breaker_failures=3, breaker_seconds=30, _env_file=None)  # type: ignore[call-arg]
DOWN = Failure(FailureCode.TRANSPORT_ERROR, "refused")
BROKEN, HEALTHY = "codex-cli", "claude-code"


@pytest.fixture
def people(database: peewee.Database) -> Cast:
    return cast.assemble()


def ended(run: AgentRun, failure: Failure | None = None, status: RunStatus | None = None) -> None:
    outcome = Outcome(status or (RunStatus.FAILED if failure else RunStatus.SUCCEEDED), "end", failure)
    with db.transaction():
        provider_breaker.note(run, outcome, SETTINGS)


def row() -> ProviderBreaker | None:
    return ProviderBreaker.get_or_none()


def opened(people: Cast) -> ProviderBreaker:
    """The breaker of bob's tenant, after as many failures as it takes."""
    run = factories.run(people.bob, provider=BROKEN)
    AgentRun.update(status=RunStatus.FAILED, finished_at=db.now()).where(AgentRun.id == run.id).execute()
    for _ in range(3):
        ended(run, DOWN)
    found = row()
    assert found is not None
    return found


def due() -> None:
    ProviderBreaker.update(trial_at=db.now() - 1).execute()


def claim() -> str | None:
    found = run_claims.take_next("w", 30)
    return found.run.id if found else None


def test_it_opens_after_failures_in_a_row_that_are_the_providers_own(people: Cast) -> None:
    run = factories.run(people.bob, provider=BROKEN)
    for failure in (DOWN, Failure(FailureCode.AUTH_MISSING, "401")):
        ended(run, failure)
    ended(run)  # it works: they are forgotten
    assert row() is None
    for code in (FailureCode.AGENT_ERROR, FailureCode.MODEL_INVALID, FailureCode.BUDGET_EXCEEDED, FailureCode.POISON):
        ended(run, Failure(code, "its own"))
    ended(run, status=RunStatus.CANCELED)
    assert row() is None
    ended(run, DOWN)
    ended(run, DOWN)
    ended(run, Failure(FailureCode.AGENT_ERROR, "between"))
    found = row()
    assert found is not None
    assert (found.failures, provider_breaker.state_of(found)) == (2, "closed")
    assert claim() == run.id
    ended(run, Failure(FailureCode.PROVIDER_NO_OUTPUT, "not a word"))
    found = row()
    assert found is not None
    assert (found.failures, provider_breaker.state_of(found)) == (3, "open")
    assert (found.failure_code, found.remedy) == (
        "provider_no_output",
        Failure(FailureCode.PROVIDER_NO_OUTPUT, "").advice,
    )


def test_its_runs_wait_in_their_places_and_say_why_and_others_go_first(people: Cast) -> None:
    found = opened(people)
    waiting = [factories.run(people.bob, provider=BROKEN) for _ in range(50)]
    healthy, elsewhere = factories.run(people.bob, provider=HEALTHY), factories.run(people.charlie, provider=BROKEN)
    assert run_claims.count(100) == 2
    assert [claim(), claim(), claim()] == [healthy.id, elsewhere.id, None]
    assert waiting_for(waiting[7]) == {
        "reason": "provider_unavailable",
        "since": found.opened_at,
        "remedy": DOWN.advice,
    }
    with db.transaction():
        add_command(waiting[3].tenant_id, waiting[3].id, "stop", "stop", {"by": people.bob.user.id})
    stopped = run_claims.take_next("w", 30)
    assert stopped is not None
    assert (stopped.run.id, stopped.turn) == (waiting[3].id, False)
    with pytest.raises(LimitExceeded) as refused:
        provider_breaker.require_closed(waiting[0].tenant_id, BROKEN)
    assert 0 < refused.value.retry_after_seconds <= 30
    provider_breaker.require_closed(waiting[0].tenant_id, HEALTHY)


def test_one_run_at_a_time_tries_also_among_many_claimers(people: Cast) -> None:
    opened(people)
    waiting = [factories.run(people.bob, provider=BROKEN) for _ in range(8)]
    due()
    claimed: list[str | None] = []

    def take() -> None:
        with db.connection():
            claimed.append(claim())

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (trial,) = [found for found in claimed if found]
    assert trial in [run.id for run in waiting]
    assert provider_breaker.state_of(row()) == "half_open"


def test_a_trial_that_fails_doubles_the_pause_and_one_that_works_lets_all_go(people: Cast) -> None:
    opened(people)
    first, second, third, fourth = (factories.run(people.bob, provider=BROKEN) for _ in range(4))
    next_trial = 0.0
    for run, pause in ((first, 60), (second, 120)):
        due()
        assert claim() == run.id
        ended(run, DOWN)
        found = row()
        assert found is not None
        assert found.trial_at == pytest.approx(db.now() + pause, abs=20)
        assert provider_breaker.state_of(found) == "open"
        assert claim() is None
        next_trial = found.trial_at
    ended(first, DOWN)  # one that was at work already: no trial, no longer pause
    again = row()
    assert again is not None
    assert again.trial_at == next_trial
    due()
    assert claim() == third.id
    assert claim() is None
    provider_breaker.prove(third)  # it calls a tool: nobody has to wait for its end
    assert row() is None
    assert claim() == fourth.id


def test_a_trial_that_says_nothing_about_the_provider_or_nothing_at_all_is_followed_by_another(people: Cast) -> None:
    opened(people)
    first, second, third = (factories.run(people.bob, provider=BROKEN) for _ in range(3))
    due()
    assert claim() == first.id
    ended(first, status=RunStatus.CANCELED)
    assert claim() == second.id
    assert claim() is None
    due()  # as if nothing was heard of it for its time
    assert claim() == third.id


def test_it_is_counted_and_told(people: Cast) -> None:
    opened(people)
    assert gauges.read()['paddock_provider_breakers_open{provider="codex-cli"}'] == 1
    told = alerts.look(SETTINGS, None).broken[people.bob.user.tenant_id, "providers_unavailable"]
    assert told["providers"] == [
        {"provider": BROKEN, "failureCode": "transport_error", "remedy": DOWN.advice},
    ]


def test_it_can_be_switched_off(people: Cast) -> None:
    run = factories.run(people.bob, provider=BROKEN)
    off = Settings(breaker_failures=0, _env_file=None)  # type: ignore[call-arg]
    for _ in range(9):
        provider_breaker.note(run, Outcome(RunStatus.FAILED, "end", DOWN), off)
    assert row() is None


# --- with workers and agents -----------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    limits = {"worker_threads": 2, "breaker_failures": 3, "retry_delay_ms": 1}
    with open_world(tmp_path / "var", database_url, redis_url, provider_mode="scripted", **limits) as world:
        yield world


@contextmanager
def working(world: World) -> Iterator[None]:
    """One worker process with its threads, that hears bells all the time."""
    worker, done = RunWorker("w", world.container.driver_parts), threading.Event()

    def serve() -> None:
        while not done.wait(0.02):
            with db.connection():
                worker.drive_until_idle()

    threads = [threading.Thread(target=serve) for _ in range(world.settings.worker_threads + SPARE_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        worker.stop(5)
        for thread in threads:
            thread.join()


def count(provider: str, **fields: object) -> int:
    query = AgentRun.select().where(AgentRun.provider == provider)
    for name, value in fields.items():
        query = query.where(getattr(AgentRun, name) == value)
    return int(query.count())


def test_fifty_runs_of_a_provider_without_a_key_hold_up_no_other_and_lose_nothing(world: World) -> None:
    for _ in range(50):
        world.create("/fail auth_missing", provider=BROKEN)
    with working(world):
        eventually(lambda: provider_breaker.state_of(row()) == "open", 60, what="the breaker to open")
        failed = count(BROKEN, status="failed")
        run = world.create("/say hello", provider=HEALTHY)
        eventually(lambda: world.run(run.id).status == "succeeded", 30, what="the other provider's run")
        eventually(lambda: not count(BROKEN, status="running"), 30, what="the runs that were at work to end")
    assert failed <= 3 + world.settings.worker_threads
    assert count(BROKEN, status="queued", attempt=0) >= 50 - 3 - world.settings.worker_threads


def test_a_provider_whose_runs_hang_fills_its_share_and_not_that_of_others(world: World) -> None:
    for _ in range(6):
        world.create("/sleep 600", provider=BROKEN)
    with working(world):
        eventually(lambda: count(BROKEN, status="running") == 2, 30, what="as many as there is room for")
        run = world.create("/say hello", provider=HEALTHY)
        eventually(lambda: world.run(run.id).status == "succeeded", 30, what="the other provider's run")
        assert count(BROKEN, status="running") == 2
        assert count(BROKEN, status="queued") == 4


def test_a_provider_that_works_again_takes_its_runs_up_by_itself(world: World) -> None:
    for number in range(6):
        world.create("/fail transport_error 2" if number < 2 else "/say hello", provider=BROKEN)
    with working(world):
        eventually(lambda: provider_breaker.state_of(row()) == "open", 60, what="the breaker to open")
        due()
        eventually(lambda: count(BROKEN, status="succeeded") == 6, 60, what="all runs")
    assert row() is None
