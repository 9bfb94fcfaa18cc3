"""The scheduler's clock: once per due time, whatever was missed and however the machine's clock is set."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from app.services.maintenance import Job
from scheduler.ticking import OPTIONS, ClockWatch, schedule

pytestmark = pytest.mark.promise("R16")

HOUR = 3600.0


class Ticks:
    """Counts what a scheduler calls."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._more = threading.Semaphore(0)

    def tick(self, job: Job) -> None:
        self.names.append(job.name)
        self._more.release()

    def next(self) -> bool:
        return self._more.acquire(timeout=10)


@pytest.fixture
def scheduler() -> Iterator[BackgroundScheduler]:
    made = BackgroundScheduler(**OPTIONS)
    yield made
    if made.running:
        made.shutdown()


def hourly(name: str = "sweep") -> Job:
    return Job(name, "a test", HOUR, lambda: 0)


def test_every_job_runs_at_the_start_and_then_once_per_interval(scheduler: BackgroundScheduler) -> None:
    ticks = Ticks()
    schedule(scheduler, [hourly("one"), hourly("two")], ticks.tick)
    scheduler.start()
    assert ticks.next()
    assert ticks.next()
    assert sorted(ticks.names) == ["one", "two"]
    for job in scheduler.get_jobs():
        assert timedelta(minutes=59) < job.next_run_time - datetime.now(UTC) <= timedelta(hours=1)


def test_three_due_times_that_were_missed_are_made_good_by_one_run(scheduler: BackgroundScheduler) -> None:
    ticks = Ticks()
    schedule(scheduler, [hourly()], ticks.tick)
    scheduler.start(paused=True)
    scheduler.get_job("sweep").modify(next_run_time=datetime.now(UTC) - timedelta(hours=3, minutes=1))
    scheduler.resume()
    assert ticks.next()
    scheduler.shutdown(wait=True)
    assert ticks.names == ["sweep"]


@pytest.mark.parametrize("jump", [-HOUR, HOUR])
def test_a_clock_that_is_set_holds_no_job_up_and_runs_it_once(scheduler: BackgroundScheduler, jump: float) -> None:
    ticks, now = Ticks(), [1000.0, 50.0]
    schedule(scheduler, [hourly()], ticks.tick)
    scheduler.start()
    assert ticks.next()
    watch = ClockWatch(scheduler, wall=lambda: now[0], steady=lambda: now[1])
    now[:] = [1003.0, 53.0]
    assert not watch.look()
    now[:] = [1004.0 + jump, 54.0]
    assert watch.look()
    assert ticks.next()
    assert not watch.look()
    scheduler.shutdown(wait=True)
    assert ticks.names == ["sweep", "sweep"]


def test_summer_time_moves_nothing(scheduler: BackgroundScheduler) -> None:
    assert scheduler.timezone is UTC
