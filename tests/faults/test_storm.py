"""Worker processes that die again and again under many runs, executors too: nothing is lost, doubled or done twice (R1); and how
long a run is without a holder when its worker dies (R4)."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from app.models import AgentRun
from tests.faults.kit import evidence
from tests.faults.kit.checker import Scope, examine
from tests.faults.kit.live_runs import all_closed, all_stream, count_open, stop_all
from tests.faults.kit.nemesis import Act, Nemesis, Threat
from tests.faults.kit.takeovers import holdings, percentile, seconds_without_holder
from tests.support.fleet import Fleet, open_fleet
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world

KILL_SECONDS = 3.0 if LONG else 1.0
RUNS, SESSIONS, EXECUTOR_KILL_SECONDS = (1000, 25, 15.0) if LONG else (30, 6, 1000.0)
STOPPED = (300, 24) if LONG else (15, 5)
KINDS = (
    "hello",
    "/say one\n/slow 12 60\n/say two",
    "/write made.txt by hand\n/run sleep 0.5; seq 1 200; cat made.txt",
    "/think hm\n/todo [>] a; b\n/slow 30 40",
    "/steps 3",
    "/run seq 1 9000\n/deltas 40 200",
)
SOON_SECONDS, LEASE_SECONDS = 2.0, (30.0 if LONG else 2.0)
LIVE, SAMPLES, SWEEP_SECONDS = (24, 24, 5.0) if LONG else (6, 2, 0.5)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=2.0, max_attempts=1000) as world:
        yield world


@pytest.fixture
def patient_world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    """With the lease that users have (shorter in a slice)."""
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=LEASE_SECONDS) as world:
        yield world


def accept(world: World, number: int, sessions: int, rng: random.Random) -> list[str]:
    """Create runs of every kind over some sessions, in one go; return their ids."""
    heads = [world.create(rng.choice(KINDS), options={"approval": "all"}) for _ in range(sessions)]
    ids = [head.id for head in heads]
    for place in range(number - sessions):
        session = heads[place % sessions].session_id
        ids.append(world.create(rng.choice(KINDS), session, options={"approval": "all"}).id)
    return ids


@pytest.mark.promise("R1")
@pytest.mark.timeout(1500)
def test_nothing_is_lost_while_a_random_worker_dies_every_few_seconds(world: World, figures: Figures) -> None:
    seed = random.randrange(10**6)
    with open_fleet(world, 3) as fleet, fleet.mending():
        killers = [
            Threat("worker", fleet.ready, KILL_SECONDS),
            Threat("executor", lambda: evidence.executors(world.container), EXECUTOR_KILL_SECONDS),
        ]
        with Nemesis(*killers, seed=seed) as nemesis:
            ids = accept(world, RUNS, SESSIONS, random.Random(seed))
            eventually(lambda: count_open(ids) == 0 or enough(nemesis, "kill"), 1200, what="all runs end")
        eventually(lambda: all_closed(ids), 120, what="all runs end and their streams are whole")
        assert "database is locked" not in fleet.log()
    found = examine(world.container, Scope(ids))
    assert found.wrong == {}, f"seed {seed}, {len(nemesis.history)} deeds\n{found}"
    assert_in_order(ids)
    kills, took_over = nemesis.count("kill", "worker"), sum(epoch > 1 for epoch in epochs(ids))
    assert kills >= 3
    assert took_over > 0
    figures.add("runs", f"{found.runs}, {found.events} events: 0 lost, 0 twice, 0 gaps, 0 doubled", "all of them")
    figures.add("workers killed", f"{kills}, {took_over} runs taken over", f"one every {KILL_SECONDS:g} s")
    dead = f"{found.starts} for {found.runs} runs, {found.executor_deaths} lost their executor"
    figures.add(
        "agents started", f"{dead} ({nemesis.count('kill', 'executor')} killed)", "once unless its executor died"
    )


@pytest.mark.promise("R2")
@pytest.mark.timeout(1500)
def test_workers_that_wake_beyond_their_leases_change_nothing_more(world: World, figures: Figures) -> None:
    seed = random.randrange(10**6)
    with open_fleet(world, 3) as fleet:
        sleeper = Threat("worker", fleet.ready, 1.0, "stop", hold_seconds=2 * world.settings.lease_duration)
        with Nemesis(sleeper, seed=seed) as nemesis:
            ids, rng = accept(world, *STOPPED, random.Random(seed)), random.Random(seed)

            def ended_or_enough() -> bool:
                return count_open(ids) == 0 or enough(nemesis, "stop")

            eventually(ended_or_enough, 1200, what="all runs end")
            while all(epoch == 1 for epoch in epochs(ids)):  # they were quicker than any sleeper
                ids.extend(accept(world, *STOPPED, rng))
                eventually(ended_or_enough, 1200, what="all runs end")
        eventually(lambda: all_closed(ids), 120, what="all runs end and their streams are whole")
    found = examine(world.container, Scope(ids))
    assert found.wrong == {}, f"seed {seed}, {len(nemesis.history)} deeds\n{found}"
    assert found.starts == len(ids)
    assert_in_order(ids)
    stops, took_over = nemesis.count("stop", "worker"), sum(epoch > 1 for epoch in epochs(ids))
    assert took_over > 0
    figures.add("runs", f"{found.runs}, {took_over} taken over from {stops} sleepers", "all of them")
    figures.add("finished twice, events behind the fence, stale pushes", "0, 0, 0", "0, 0, 0")


def enough(nemesis: Nemesis, act: Act) -> bool:
    """In a slice a few deeds do; at full length it goes on to the last run."""
    return not LONG and nemesis.count(act, "worker") >= 5


def assert_in_order(ids: list[str]) -> None:
    """A session never had two runs at work, and did them in the order in which they came."""
    sessions: dict[str, list[AgentRun]] = {}
    for run in AgentRun.select().where(AgentRun.id.in_(ids)).order_by(AgentRun.session_seq):
        sessions.setdefault(run.session_id, []).append(run)
    for mine in sessions.values():
        for earlier, later in pairwise(mine):
            assert earlier.finished_at <= later.claimed_at, (earlier.id, later.id)


def epochs(ids: list[str]) -> list[int]:
    return [row.epoch for row in AgentRun.select(AgentRun.epoch).where(AgentRun.id.in_(ids))]


@pytest.mark.promise("R4")
@pytest.mark.timeout(900)
def test_the_runs_of_a_dead_worker_are_soon_held_by_another(patient_world: World, figures: Figures) -> None:
    """On one machine, where the death of a process can be seen."""
    samples = without_holder(patient_world, (signal.SIGKILL, signal.SIGTERM))
    tell(figures, "killed", samples[signal.SIGKILL], LEASE_SECONDS + SWEEP_SECONDS + 5)
    tell(figures, "told to stop", samples[signal.SIGTERM], SOON_SECONDS)


@pytest.mark.promise("R4")
@pytest.mark.timeout(900)
@pytest.mark.skipif(not LONG, reason="a slice of waiting for leases is in test_workers_die")
def test_the_runs_of_a_dead_worker_elsewhere_are_held_by_another_after_its_lease(
    patient_world: World, figures: Figures
) -> None:
    samples = without_holder(patient_world, (signal.SIGKILL,), RUN_QUEUE_OWNER="elsewhere")  # which tells of no process
    tell(figures, "killed on another machine", samples[signal.SIGKILL], LEASE_SECONDS + SWEEP_SECONDS + 5)


def without_holder(
    world: World, numbers: Sequence[signal.Signals], **settings: str
) -> dict[signal.Signals, list[float]]:
    """Keep runs live and harm workers with each signal until there are samples enough; return the seconds that runs had no holder."""
    settings |= {"PADDOCK_SWEEP_SECONDS": str(SWEEP_SECONDS), "PADDOCK_WORKER_THREADS": str(LIVE)}
    with open_fleet(world, 3, **settings) as fleet, fleet.mending():
        ids = [world.create("/slow 5000 500", options={"approval": "all"}).id for _ in range(LIVE)]
        samples: dict[signal.Signals, list[float]] = {number: [] for number in numbers}
        for number in numbers:
            while len(samples[number]) < SAMPLES:
                samples[number] += harm_the_busiest(fleet, ids, number)
        stop_all(world, ids)
    found = examine(world.container, Scope(ids, expected=("canceled",)))
    assert found.wrong == {}, str(found)
    assert found.starts == LIVE
    return samples


def tell(figures: Figures, how: str, samples: Sequence[float], bar: float) -> None:
    tail = percentile(samples, 0.95)
    shown = f"p95 {tail:.2f} s, median {percentile(samples, 0.5):.2f} s of {len(samples)}"
    figures.add(f"until another holds the run, worker {how}", shown, f"p95 <= {bar:g} s", tail <= bar)


def harm_the_busiest(fleet: Fleet, ids: list[str], number: signal.Signals) -> list[float]:
    """Signal the worker that holds most of the runs, while each of them is held and streams; return the seconds until others had them."""
    eventually(lambda: all_stream(ids) and fleet.is_ready(), 120, what="all runs are held and stream")
    held = holdings(ids)
    owner = max(held, key=lambda name: len(held[name]))
    return seconds_without_holder(fleet.pid_of(owner), owner, number, held[owner])
