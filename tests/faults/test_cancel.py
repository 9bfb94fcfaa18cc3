"""Stopped means stopped, and a deadline holds: at random moments, with agents that hang, flood, fork and get away (R13, R14).

Real workers, real sandboxes. Times are figures: when nothing of the agent is left, and when the run has ended.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, RunEvent
from app.services.log_check import check
from app.services.run_creation import add_command
from tests.support.fleet import open_fleet
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world

CANCELS = 100 if LONG else 10
AT_ONCE = 10
DAEMON = "/run setsid sh -c '(sleep 611 &) ; sleep 612' >/dev/null 2>&1 & (setsid sleep 613 &) ; nohup sleep 614"
FORKS = "/run for i in 1 2 3 4 5 6 7 8; do setsid sleep 62$i & done; trap '' TERM INT HUP; sleep 630 & while :; do sleep 1; done"
PROMPTS = (
    "/slow 2000 20",
    "/sleep 600",
    "/deaf\n/sleep 600",
    "/deaf\n/deltas 10000000 16",
    "/spawn 615\n/spawn 616\n/sleep 600",
    "/approve Go on?",
    DAEMON,
    FORKS,
    "/flood 1000000000",
    "/say quickly done",
)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=3.0, max_attempts=1000) as world:
        yield world


def stop(world: World, run: AgentRun) -> None:
    with db.transaction():
        add_command(run.tenant_id, run.id, "stop", "stop", {"by": world.user.id, "reason": "test"})
    world.container.bell.ring_command(run.id)


def left(world: World, run: AgentRun) -> list[str]:
    """Return the command lines of what an agent left in its sandbox: all that is there but the executor and this look itself."""
    executor = world.container.sandboxes.connect(run.session_id)
    if executor is None:
        return []
    found = executor.execute(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done", cwd="/workspace", timeout_ms=9000
    )
    return [line for line in found.stdout.splitlines() if "scripted_agent" in line or "sleep 6" in line]


class Stopped:
    """A run that was stopped: whether the stop came in time, and how long its agent and it went on."""

    def __init__(self, world: World, run: AgentRun, wait: float) -> None:
        self._world, self.run, self._wait = world, run, wait
        self.in_time = False
        self.seconds = 0.0
        self.thread = threading.Thread(target=self._do)
        self.thread.start()

    def _do(self) -> None:
        with db.connection():
            threading.Event().wait(self._wait)  # the random moment
            began = time.monotonic()
            stop(self._world, self.run)
            self.in_time = self._world.run(self.run.id).stop_requested_at is not None
            eventually(lambda: self._world.run(self.run.id).finished_at, 120, what="the stopped run ends")
            self.seconds = time.monotonic() - began


@pytest.mark.promise("R13")
@pytest.mark.timeout(1800)
def test_a_run_that_is_stopped_at_any_moment_is_canceled_and_nothing_of_it_is_left(
    world: World, figures: Figures
) -> None:
    stopped: list[Stopped] = []
    with open_fleet(world, 2):
        for first in range(0, CANCELS, AT_ONCE):
            some = [
                world.create(PROMPTS[i % len(PROMPTS)], options={"approval": "ask" if i % 10 == 5 else "all"})
                for i in range(first, first + AT_ONCE)
            ]
            batch = [Stopped(world, run, random.uniform(0.0, 3.0)) for run in some]
            for each in batch:
                each.thread.join()
            stopped += batch
        for each in stopped:
            eventually(lambda each=each: left(world, each.run) == [], 15, what="nothing of the agent is left")
    for each in stopped:
        run = world.run(each.run.id)
        assert run.status == ("canceled" if each.in_time else "succeeded"), (
            run.prompt,
            run.status,
            run.failure_message,
        )
        assert check(run.id, world.container.stream) == []
        assert world.types(run.id)[-1] == "run.closed"
    slowest = sorted((each for each in stopped if each.in_time), key=lambda each: each.seconds)
    times = [each.seconds for each in slowest]
    assert len(times) > CANCELS // 2
    p95 = times[int(len(times) * 0.95) - 1]
    figures.add("stopped p95", f"{p95:.1f} s", bar="<= 5 s", met=p95 <= 5)
    figures.add("stopped max", f"{times[-1]:.1f} s", bar="<= 15 s", met=times[-1] <= 15)
    figures.add("slowest", ", ".join(f"{each.run.prompt[:16]!r} {each.seconds:.1f} s" for each in slowest[-6:]))


@pytest.mark.promise("R13")
@pytest.mark.timeout(300)
def test_a_stop_before_the_claim_cancels_and_nothing_is_ever_started(world: World) -> None:
    run = world.create("/write made.txt x", options={"approval": "all"})
    stop(world, run)
    with open_fleet(world, 1):
        eventually(lambda: world.run(run.id).status == "canceled", what="the run is canceled")
    assert "run.started" not in world.types(run.id)
    assert world.container.sandboxes.connect(run.session_id) is None


LIMITED = ("/deaf\n/sleep 600", "/deaf\n/flood 100000000000", FORKS, "/approve Go on?\n/slow 2000 20")
SECONDS = 2


@pytest.mark.promise("R14")
@pytest.mark.timeout(900)
def test_a_deadline_ends_what_hangs_floods_or_forks(world: World, figures: Figures) -> None:
    end_at_the_deadline(world, figures, kills=0)


@pytest.mark.promise("R14")
@pytest.mark.timeout(900)
@pytest.mark.skipif(not LONG, reason="long: leases have to run out")
def test_a_deadline_holds_although_workers_die(world: World, figures: Figures) -> None:
    end_at_the_deadline(world, figures, kills=3)


def end_at_the_deadline(world: World, figures: Figures, kills: int) -> None:
    runs = [world.create(prompt, options={"approval": "all", "budget": {"maxSeconds": SECONDS}}) for prompt in LIMITED]
    with open_fleet(world, 2, PADDOCK_LEASE_SECONDS="2") as fleet:
        for _ in range(kills):
            eventually(lambda: RunEvent.select().where(RunEvent.type == "run.started").count() == len(runs), 60)
            threading.Event().wait(random.uniform(0.5, 3.0))  # the random moment of the kill
            fleet.kill_one()
        eventually(lambda: all(world.run(run.id).finished_at for run in runs), 300, what="all runs end")
        for run in runs:
            eventually(lambda run=run: left(world, run) == [], 15, what="nothing of the agent is left")
    late = []
    for run in runs:
        row = world.run(run.id)
        assert (row.status, row.failure_code) == ("failed", "budget_exceeded"), (row.prompt, row.failure_message)
        assert check(run.id, world.container.stream) == []
        began = next(event.ts for event in world.events(run.id) if event.data.get("status") == "running")
        late.append(row.finished_at - began - SECONDS)
    bar = 5 if not kills else 15
    figures.add(f"late, {kills} workers killed", f"{max(late):.1f} s", bar=f"<= {bar} s", met=max(late) <= bar)
