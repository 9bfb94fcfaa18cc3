"""Runs per second of the scripted provider on the whole path: POST, queue, worker, sandbox, agent, log, sync, end.

Beside it the same agent bare (a process on pipes, nothing kept), and jobs of stock Dramatiq that do nothing at all.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from dramatiq.brokers.redis import RedisBroker

from app.models import AgentRun
from bench import peers
from bench.bare_agent import turns_per_second
from bench.house import PATIENCE_SECONDS, House, house
from bench.table import Table
from tests.support.waiting import eventually

SESSIONS = 16
RUNS_PER_SESSION = 8
PROMPT = "hello"
BARE_TURNS = 48
JOBS = 3000
DRAMATIQ_DB = 8
SENDERS = 4


def measure() -> list[Table]:
    table = Table(f"runs per second, scripted agent, {SESSIONS} sessions")
    with house() as installation:
        cold, sessions = _first_runs(installation)
        warm = _runs(installation, [session for session in sessions for _ in range(RUNS_PER_SESSION)])
        provider = installation.container.providers.get("scripted")
        alone = turns_per_second(provider, PROMPT, BARE_TURNS, 1)
        beside = turns_per_second(provider, PROMPT, BARE_TURNS, SESSIONS)
        jobs = _jobs(installation)
    table.add(f"Paddock, warm: {RUNS_PER_SESSION} runs in each session", {"per s": warm, "ms each": 1000 / warm}, 1.0)
    table.add("Paddock, cold: first run, starts a sandbox", {"per s": cold, "ms each": 1000 / cold}, cold / warm)
    table.add("bare agent, one after another", {"per s": alone, "ms each": 1000 / alone}, alone / warm)
    table.add(f"bare agent, {SESSIONS} at once", {"per s": beside, "ms each": 1000 / beside}, beside / warm)
    table.add("stock Dramatiq, jobs that do nothing", {"per s": jobs, "ms each": 1000 / jobs}, jobs / warm)
    table.notes = (
        "From the first POST to the last end; sessions run side by side, the runs of one session in order.",
        "A run of Paddock is journaled, logged in Redis and SQL, its workspace scanned and saved; a bare turn leaves nothing.",
    )
    return [table]


def _first_runs(installation: House) -> tuple[float, list[str]]:
    installation.warm_session(PROMPT)
    began = time.monotonic()
    runs = [installation.enqueue(PROMPT) for _ in range(SESSIONS)]
    sessions = [str(installation.finished(run_id).session_id) for run_id in runs]
    return SESSIONS / (time.monotonic() - began), sessions


def _runs(installation: House, sessions: list[str]) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as pool:
        runs = list(pool.map(lambda session: installation.enqueue(PROMPT, session), sessions))
    open_runs = AgentRun.select().where(AgentRun.id.in_(runs), AgentRun.finished_at.is_null())
    eventually(lambda: not open_runs.exists(), PATIENCE_SECONDS, what="all runs to end")
    seconds = time.monotonic() - began
    for run_id in runs:
        installation.finished(run_id)  # raises where one did not succeed
    return len(runs) / seconds


def _jobs(installation: House) -> float:
    with peers.peer("dramatiq", installation.redis_socket, DRAMATIQ_DB) as stock:
        actor = peers.declare(RedisBroker(client=stock.client))
        began = time.monotonic()
        for _ in range(JOBS):
            actor.send(time.monotonic_ns())
        for _ in range(JOBS):
            stock.result()
        return JOBS / (time.monotonic() - began)
