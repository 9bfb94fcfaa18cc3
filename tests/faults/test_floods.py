"""Agents that flood: the log has a cap, every process stays small, other runs go on, the run ends with the truth (R15).

The slice makes the cap small; `make faults` floods with a gigabyte at the default cap.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import httpx
import pytest

from app.domain.journal import agent_id
from app.domain.redaction import Redactor
from app.models import AgentRun
from app.services import run_launch
from app.services.log_check import check
from app.services.run_output import BEFORE, BEYOND, EVENT_COST, RunOutput
from tests.faults.kit.outage import TOKEN
from tests.support.fleet import Fleet, open_fleet
from tests.support.redis import RedisServer
from tests.support.sandboxes import executor_pid
from tests.support.stream_clients import SlowSseClient, SseClient, archive_of, assert_whole
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

CAP = 64 * 2**20 if LONG else 2**17
MEGA = 2**20
FLOOD = 10**9 if LONG else 4 * 10**6
LINE = 64 * 10**6
TINY = 10**6 if LONG else 4_000
OTHERS = 40
"""Runs beside the flood, one after the other."""
MOST = {"web": 100 * MEGA, "tail": 128 * MEGA, "worker": 200 * MEGA, "executor": 160 * MEGA, "redis": CAP + 64 * MEGA}
"""What each may grow by; all processes of web together. The command and the executor begin at nothing."""

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
long_only = pytest.mark.skipif(not LONG, reason="takes minutes: make faults")


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, run_log_bytes=CAP, max_attempts=1000) as world:
        yield world


def flooding(world: World, prompt: str) -> AgentRun:
    return world.create(prompt, options={"approval": "all"})


def resident(pid: int) -> int:
    """Bytes that a process has in memory; 0 where it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * 4096


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Scales:
    """Weighs processes, alone or several together, again and again, and keeps how much each has grown at most."""

    def __init__(self, **pids: list[int]) -> None:
        self._pids = pids
        self._before = {name: sum(map(resident, together)) for name, together in pids.items()}
        self.most = dict(self._before)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._weigh)

    def add(self, name: str, pid: int) -> None:
        self._before[name] = self.most[name] = 0
        self._pids = {**self._pids, name: [pid]}

    def grown(self, name: str) -> int:
        return self.most[name] - self._before[name]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _weigh(self) -> None:
        while not self._done.wait(0.05):
            for name, together in self._pids.items():
                self.most[name] = max(self.most[name], sum(map(resident, together)))


def executor_of(world: World, run: AgentRun) -> int:
    eventually(lambda: world.container.sandboxes.connect(run.session_id), what="the sandbox to run")
    return executor_pid(world.container.sandboxes, run.session_id)


def assert_cut(world: World, run: AgentRun) -> None:
    """The log is whole, no larger than the cap and what matters beyond it, and says once that it was cut."""
    events = world.events(run.id)
    assert check(run.id, world.container.stream) == []
    warnings = [event for event in events if event.type == "run.warning" and event.data["code"] == "output_truncated"]
    assert len(warnings) == 1
    rest = [event for event in events if event.seq > warnings[0].seq]
    assert not {event.type for event in rest} & {"message.delta", "thinking.delta", "tool.output"}
    assert sum(len(str(event.data)) + EVENT_COST for event in events) < CAP + 2 * BEFORE.message
    assert rest[-1].type == "run.closed"


PROMPTS = {
    "lines of a tool": f"/flood {FLOOD}\n/say and out",
    "tiny pieces of a message": f"/deltas {TINY} 40\n/say and out",
    "what is of no protocol": f"/noise {FLOOD}\n/say and out",
    "what a command prints": f"/run yes 0123456789012345678901234567890123456789 | head -c {FLOOD // 4}\n/say and out",
}


@pytest.mark.promise("R15")
@pytest.mark.timeout(1800)
def test_a_flood_is_cut_and_its_run_succeeds(world: World) -> None:
    floods = [flooding(world, prompt) for prompt in PROMPTS.values()]
    with open_fleet(world, 1, PADDOCK_RUN_LOG_BYTES=str(CAP)):
        eventually(lambda: all(world.run(run.id).finished_at for run in floods), 1500, what="the runs end")
    for run in floods:
        assert_ended_well(world, run)


def assert_ended_well(world: World, run: AgentRun) -> None:
    ended = world.run(run.id)
    assert (ended.status, ended.failure_code, ended.message, ended.attempt) == ("succeeded", None, "and out", 1)
    assert_cut(world, run)
    kinds = world.types(run.id)
    assert kinds.count("tool.call") == kinds.count("tool.result")
    stops = [event.data for event in world.events(run.id) if event.type == "message.stop"]
    assert all(len(stop["text"]) <= BEYOND.message + 100 for stop in stops)


@long_only
@pytest.mark.promise("R15")
@pytest.mark.timeout(1800)
def test_every_process_stays_small_and_other_runs_do_not_notice(
    world: World, redis: RedisServer, figures: Figures
) -> None:
    with (
        serving(world.settings, processes_count=2) as web,
        open_fleet(world, 1, PADDOCK_RUN_LOG_BYTES=str(CAP)) as fleet,
    ):
        alone = latencies(world, OTHERS)
        run = flooding(world, f"/line {LINE}\n/flood {FLOOD}\n/deltas {TINY} 1")
        eventually(lambda: "tool.call" in world.types(run.id), what="the flood begins")
        slow, quick = SlowSseClient(web.url, TOKEN, run.id, patience=1500), SseClient(web.url, TOKEN, run.id)
        pids = {"web": [web.pid, *children(web.pid)], "worker": [fleet.workers[0].pid], "redis": [redis.pid]}
        with Scales(**pids) as scales, tailing(web, run) as tail:
            slow.start()
            quick.start()
            scales.add("tail", tail.pid)
            scales.add("executor", executor_of(world, run))
            beside = latencies(world, OTHERS)
            eventually(lambda: world.run(run.id).finished_at, 1500, what="the run ends")
            slow.hurry.set()
            for client in (quick, slow):
                client.finish(600)
            assert tail.wait(600) == 0
        assert_got_everything(world, web, run, [quick, slow])
    assert world.run(run.id).status == "succeeded"
    assert_cut(world, run)
    assert "output_cut" in {event.data["code"] for event in world.events(run.id) if event.type == "run.warning"}
    for name, most in MOST.items():
        figures.add(f"{name} grew by", f"{scales.grown(name) // MEGA} MB", bar=f"< {most // MEGA} MB")
        assert scales.grown(name) < most, name
    figures.add("slow client was behind at the end of the run by", f"{run_end(world, run) - slow.seen_slowly} events")
    ratio = p99(beside) / p99(alone)
    figures.add("p99 latency of other runs", f"x{ratio:.1f}", bar="<= x2", met=ratio <= 2)


@contextmanager
def tailing(web: Server, run: AgentRun) -> Iterator[subprocess.Popen[bytes]]:
    """`paddock tail` of a run, as somebody has it open whose terminal takes what comes."""
    environment = {**os.environ, "PADDOCK_URL": web.url, "PADDOCK_TOKEN": TOKEN}
    argv = [sys.executable, "-m", "cli.main", "tail", run.id]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def assert_got_everything(world: World, web: Server, run: AgentRun, clients: list[SseClient]) -> None:
    """Each client has the whole log, in one connection: who is slow is not sent away."""
    with httpx.Client(base_url=web.url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as api:
        archive = archive_of(api, run.id)
    assert len(archive) == run_end(world, run)
    for client in clients:
        assert_whole(client, archive)
        assert client.connections == 1


def run_end(world: World, run: AgentRun) -> int:
    return world.run(run.id).last_seq


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(len(seconds) * 0.99) - 1]


def latencies(world: World, count: int) -> list[float]:
    """Seconds from creating a run until it has ended, one after the other, in one session whose sandbox is there."""
    session = world.create("warm")
    eventually(lambda: world.run(session.id).finished_at, 120, what="the first run ends")
    found = []
    for _ in range(count):
        began = time.monotonic()
        run = world.create("hello", session.session_id)
        eventually(lambda run=run: world.run(run.id).finished_at, 120, what="the other run ends")
        found.append(time.monotonic() - began)
        assert world.run(run.id).status == "succeeded"
    return found


@pytest.mark.promise("R15", "P1")
@pytest.mark.timeout(900)
def test_whoever_takes_over_a_flood_cuts_at_the_same_record(world: World) -> None:
    run = flooding(world, f"/flood {FLOOD // 4}\n/slow 40 25\n/say and out")
    kills = 10 if LONG else 2
    with (
        ThreadPoolExecutor(1) as beside,
        open_fleet(world, 1, PADDOCK_RUN_LOG_BYTES=str(CAP), PADDOCK_LEASE_SECONDS="2") as fleet,
    ):
        eventually(lambda: "tool.call" in world.types(run.id), 60, what="the flood begins")
        cut = beside.submit(cut_when_stepped_once, world, world.run(run.id))  # now: at its end the journal may go
        kill_at_marks(world, run, fleet, kills)
        eventually(lambda: world.run(run.id).finished_at, 600, what="the run ends")
        assert cut_of(world, run) == cut.result()
    assert world.run(run.id).status == "succeeded"
    assert_cut(world, run)


def kill_at_marks(world: World, run: AgentRun, fleet: Fleet, kills: int) -> None:
    """Kill the worker each time the log has grown, before and after the cut, as long as the run goes on."""
    seen = 5

    def news() -> AgentRun | None:
        row = world.run(run.id)
        return row if row.last_seq > seen or row.finished_at else None

    for _ in range(kills):
        if eventually(news, 240, what="news").finished_at:
            return
        fleet.kill_one()
        seen = world.run(run.id).last_seq + 20


def cut_of(world: World, run: AgentRun) -> str:
    """The `src` of the warning."""
    return next(event.src for event in world.events(run.id) if event.data.get("code") == "output_truncated")


def cut_when_stepped_once(world: World, run: AgentRun) -> str:
    provider = world.container.providers.get("scripted")
    launch = run_launch.recall(run, {})
    turn, output = provider.begin(launch), RunOutput(run, CAP, provider.command(launch).text_lines, Redactor([]))
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    for record in executor.follow(agent_id(run.id, run.attempt), 0):
        if not output.leaves_out(record) and any(
            data.get("code") == "output_truncated" for _, data in output.admit(turn.step(record).events)
        ):
            return f"{run.attempt}:{record.n}"
    raise AssertionError("the journal gives no cut")
