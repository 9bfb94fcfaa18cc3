"""Many runs that wait for people on one worker: others start at once, every answer arrives, live or to a stopped agent, also after
every process was killed and the installation was started again (P2)."""

from __future__ import annotations

import re
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.models import AgentRun, HumanLoopRequest, RunEvent
from app.ports import Sandboxes
from executor import processes
from tests.support.catastrophe import executors_of, kill_everything
from tests.support.stack import Stack, stack
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually

RUNS, LIVE, SAMPLE = (500, 100, 40) if LONG else (6, 2, 1)
TWICE = SAMPLE + 20
"""So many of the first and of the last runs ask twice: enough, in whatever order eight threads take them."""
STARTERS = 4
ONE, TWO = "/run echo one >> ran.txt", "/run echo one >> ran.txt\n/run echo two >> ran.txt"
MEGABYTE = 1024 * 1024
LARGEST_EXECUTOR = 30 * MEGABYTE


@pytest.fixture
def running(database_url: str) -> Iterator[Stack]:
    settings = {
        "PADDOCK_LEASE_SECONDS": "5",
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_WAITING_LOOK_SECONDS": "2",
        "PADDOCK_WAITING_MAX": str(LIVE),
        "PADDOCK_WORKER_PROCESSES": "1",
        "PADDOCK_WORKER_THREADS": "8",
        "PADDOCK_WEB_PROCESSES": "1",
    }
    if database_url.startswith("postgres"):
        settings["DATABASE_URL"] = database_url
    with stack(settings) as started:
        yield started


@dataclass(frozen=True)
class Crowd:
    """The waiting runs; the first and the last of them ask twice."""

    running: Stack
    api: httpx.Client
    ids: tuple[str, ...]
    asking_twice: frozenset[str]

    @property
    def mine(self) -> Any:
        return AgentRun.id.in_(self.ids)

    def rows(self) -> list[AgentRun]:
        return list(AgentRun.select().where(self.mine))

    def waiting(self) -> int:
        return int(AgentRun.select().where(self.mine, AgentRun.let_go_at.is_null(False)).count())

    def stopped(self) -> int:
        return int(AgentRun.select().where(self.mine, AgentRun.sandbox_stopped_at.is_null(False)).count())

    def open_requests(self) -> list[HumanLoopRequest]:
        return list(HumanLoopRequest.select().where(HumanLoopRequest.status == "open"))

    def answer(self, request: HumanLoopRequest) -> None:
        """Allow what a run asks."""
        body = {"requestId": request.id, "decision": "allow"}
        answer = self.api.post("/api/human-loop/reply", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert (answer.status_code, answer.json()["duplicate"]) == (200, False), answer.text

    def answered_in(self, run: AgentRun) -> float:
        """Answer, and return the seconds until what was allowed was done."""
        done = self.running.var / "sandboxes" / run.session_id / "workspace" / "ran.txt"
        assert not done.exists()
        begun = time.monotonic()
        self.answer(HumanLoopRequest.get(HumanLoopRequest.run_id == run.id, HumanLoopRequest.status == "open"))
        eventually(done.exists, 60, what=f"what was allowed to {run.id} is done")
        return time.monotonic() - begun


def many_waiting(running: Stack, api: httpx.Client) -> Crowd:
    twice = {number for number in range(RUNS) if min(number, RUNS - 1 - number) < TWICE}
    with ThreadPoolExecutor(STARTERS) as threads:
        start: Callable[[int], str] = lambda number: running.start(api, TWO if number in twice else ONE)  # noqa: E731
        ids = tuple(threads.map(start, range(RUNS)))
    crowd = Crowd(running, api, ids, frozenset(ids[number] for number in twice))
    eventually(lambda: crowd.waiting() == RUNS, 900, what="all runs wait without a holder")
    return crowd


def at_rest(crowd: Crowd, sandboxes: Sandboxes) -> bool:
    """True once all wait, and all but the newest sandboxes are saved and gone."""
    asleep = crowd.waiting() == RUNS and crowd.stopped() >= RUNS - LIVE
    return asleep and len({run.session_id for run in crowd.rows()} & set(sandboxes.list_running())) <= LIVE


def seconds_of_another_run(crowd: Crowd) -> float:
    begun = time.monotonic()
    fresh = crowd.running.start(crowd.api, "hello")
    eventually(lambda: AgentRun.get_by_id(fresh).started_at is not None, 60, what="another run starts")
    taken = time.monotonic() - begun
    eventually(lambda: AgentRun.get_by_id(fresh).status == "succeeded", 60, what="another run ends")
    return taken


def p95(seconds: Sequence[float]) -> float:
    return max(seconds) if len(seconds) < 20 else statistics.quantiles(seconds, n=20)[-1]


# --- memory --------------------------------------------------------------------------------------------------------------------


def memory_of(pids: set[int]) -> int:
    """Return what these processes cost in memory: their share of what they share, and all that is their own."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total


def memory_of_executor(outer: int, executor: int) -> int:
    """Return what a sandbox costs without its agent: bubblewrap and the executor with its own helpers."""
    seen = processes.table()
    own = {outer, executor} | processes.descendants(seen, [outer])
    return memory_of({pid for pid in own if not is_agent(pid)})


def is_agent(pid: int) -> bool:
    with suppress(OSError):
        return b"scripted_agent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def assert_done_once(crowd: Crowd, run: AgentRun) -> None:
    assert run.status == "succeeded", (run.id, run.failure_code, run.failure_message)
    times = 2 if run.id in crowd.asking_twice else 1
    query = RunEvent.select().where(RunEvent.run_id == run.id, RunEvent.type == "tool.result")
    assert [event.data["status"] for event in query] == ["ok"] * times, run.id
    path = f"/api/session-workers/{run.session_id}/workspace/file"
    assert crowd.api.get(path, params={"path": "ran.txt"}).text == "one\ntwo\n"[: 4 * times], run.id


@pytest.mark.promise("P2")
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_waiting_runs_hold_no_worker_and_few_sandboxes_and_outlive_every_process(
    running: Stack, figures: Figures
) -> None:
    limits = httpx.Limits(max_connections=STARTERS)
    with running.opened() as container, running.client(limits=limits) as api:
        crowd = many_waiting(running, api)
        quiet = partial(at_rest, crowd, container.sandboxes)
        eventually(quiet, 900, what="all but the newest sandboxes are stopped")
        costs = [memory_of_executor(*pids) for pids in executors_of(running)]
        figures.add("waiting", f"{RUNS}, {len(costs)} of them live", f"{RUNS}, {LIVE}", met=len(costs) <= LIVE)
        figures.add("an executor", f"{max(costs) / MEGABYTE:.1f} MB", "<= 30 MB", met=max(costs) <= LARGEST_EXECUTOR)
        assert max(costs) <= LARGEST_EXECUTOR
        other = seconds_of_another_run(crowd)
        figures.add("another run starts in", f"{other:.2f} s")
        rows = [run for run in crowd.rows() if run.id in crowd.asking_twice]
        live = [run for run in rows if run.sandbox_stopped_at is None][:SAMPLE]
        asleep = [run for run in rows if run.sandbox_stopped_at is not None][:SAMPLE]
        assert live
        assert asleep
        for name, chosen, bar in (("live", live, 1), ("stopped", asleep, 3)):
            taken = p95([crowd.answered_in(run) for run in chosen])
            figures.add(f"answer to done, {name}, p95", f"{taken:.2f} s", f"<= {bar} s", met=taken <= bar)
        eventually(quiet, 300, what="those that were answered wait again")

        asked = crowd.open_requests()
        assert {request.run_id for request in asked} == set(crowd.ids)
        kill_everything(running)
        container.database.close()
        running.up()
        begun = time.monotonic()
        for request in asked:  # those very requests
            crowd.answer(request)
        finished = AgentRun.finished_at.is_null(False)
        while AgentRun.select().where(crowd.mine, finished).count() < RUNS:
            assert time.monotonic() - begun < 1500, "not all came to their end"
            answer_all(crowd)
        figures.add("all ended after", f"{time.monotonic() - begun:.0f} s")
        for run in crowd.rows():
            assert_done_once(crowd, run)
        assert HumanLoopRequest.select().where(HumanLoopRequest.delivered_at.is_null()).count() == 0


def answer_all(crowd: Crowd) -> None:
    """Wait until something is asked, or until a run has ended; allow what is asked."""
    mine = AgentRun.select().where(crowd.mine, AgentRun.finished_at.is_null(False))
    ended = mine.count()
    goes_on = lambda: crowd.open_requests() or mine.count() > ended or ended == RUNS  # noqa: E731
    eventually(goes_on, 180, what="a run that goes on")
    for request in crowd.open_requests():
        crowd.answer(request)
