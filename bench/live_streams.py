"""From an append to the clients, over HTTP, and what a client costs web in memory.

Real parts throughout: `RunLog` appends, Redis, gunicorn with gevent and the hub as deployed, 1,000 SSE connections. The wake-ups of
raw Redis are taken in the same run, on the same server, in the same rhythm, with a text of the same length.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.domain.events import Draft, EventType, source
from app.services.event_log import RunLog
from bench import peers
from bench.figures import Spread, milliseconds
from bench.house import House, house
from bench.processes import cpu_seconds, memory_of
from bench.table import Bar, Table

CLIENTS = 1000
WARM_CLIENTS = 50
TEXT = "x" * 100
DISTINCT_EVENTS, DISTINCT_PER_SECOND = 2000, 200
SHARED_EVENTS, SHARED_PER_SECOND = 100, 10
WARM_EVENTS = 20
RAW_EVENTS = 1000
RATIO_BAR = 3.0
MEMORY_BAR = 64 * 1024
PEER_DB = 9


@dataclass(frozen=True)
class Delivered:
    """What a batch of appends came to. `cpu` is web's, in seconds per delivery; `lost` counts what did not come, or not in order."""

    spread: Spread
    cpu: float
    lost: int


class Client:
    """The load client in its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        self.tell(order)
        return self.hear()

    def tell(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load client has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def measure() -> list[Table]:
    latency = Table(f"3. append to client, {CLIENTS:,} SSE clients over HTTP (web: gunicorn + gevent, as deployed)")
    memory = Table("4. memory of web per client")
    with house() as installation:
        raw = _raw(installation, latency)
        logs = [installation.held_log() for _ in range(CLIENTS)]
        distinct = _clients(installation, logs, memory, f"{CLIENTS:,} clients on {CLIENTS:,} runs")
        _add(latency, f"Paddock, {CLIENTS:,} runs with a client each", distinct, raw, barred=True)
    with house() as installation:
        shared = _clients(installation, [installation.held_log()], memory, f"{CLIENTS:,} clients on one run")
        _add(latency, f"Paddock, one run with {CLIENTS:,} clients", shared, raw, barred=False)
    latency.notes = (
        "From before RunLog.append (XADD, PUBLISH) to after recv() in the client. Ratio to the first row, by p50.",
        f"{DISTINCT_PER_SECOND} appends a second over all runs; {SHARED_PER_SECOND} a second on the shared run,",
        f"where one append is {CLIENTS:,} deliveries and the p50 client is number {CLIENTS // 2} of them.",
    )
    memory.notes = ("Growth of all web processes together, after a warm-up with other clients. unique: USS.",)
    return [latency, memory]


# --- raw Redis -----------------------------------------------------------------------------------------------------------


def _raw(installation: House, table: Table) -> Spread:
    pause = 1 / DISTINCT_PER_SECOND
    found: dict[str, Spread] = {}
    names = {
        "xread": "Redis: XADD -> XREAD BLOCK on one stream",
        "xread-many": f"Redis: XADD -> XREAD BLOCK on {peers.STREAMS:,} streams",
        "pubsub": "Redis: PUBLISH -> SUBSCRIBE",
    }
    for kind, name in names.items():
        with peers.peer(kind, installation.redis_socket, PEER_DB) as peer:
            delays = []
            for _ in range(RAW_EVENTS):
                time.sleep(random.expovariate(1 / pause))
                delays.append(_ring(peer, kind))
        found[kind] = Spread.of(delays)
        table.add(name, milliseconds(found[kind]), found[kind].p50 / found["xread"].p50)
    return found["xread"]


def _ring(peer: peers.Peer, kind: str) -> float:
    if kind == "pubsub":
        return peer.ring_channel(TEXT)
    return peer.ring_stream(TEXT, random.randrange(peers.STREAMS) if kind == "xread-many" else 0)


# --- Paddock -------------------------------------------------------------------------------------------------------------


def _clients(installation: House, logs: list[tuple[str, RunLog]], memory: Table, name: str) -> Delivered:
    """Connect the clients, append, and note what web's memory grew by."""
    with _client(installation) as client:
        _warm(installation, client)
        before = memory_of(installation.web_pids())
        paths = [_path(*logs[number % len(logs)]) for number in range(CLIENTS)]
        client.ask({"open": paths})
        shared = len(logs) == 1
        _append(installation, client, logs, WARM_EVENTS, SHARED_PER_SECOND)
        count, rate = (SHARED_EVENTS, SHARED_PER_SECOND) if shared else (DISTINCT_EVENTS, DISTINCT_PER_SECOND)
        delivered = _append(installation, client, logs, count, rate)
        after = memory_of(installation.web_pids())
        client.ask({"close": True})
    unique, resident = after.unique - before.unique, after.resident - before.resident
    figures = {"clients": CLIENTS, "unique KB": unique / CLIENTS / 1024, "resident KB": resident / CLIENTS / 1024}
    memory.add(
        name, figures, bar=Bar(f"<= {MEMORY_BAR // 1024} KB", max(unique, resident) / CLIENTS / 1024, MEMORY_BAR / 1024)
    )
    return delivered


def _warm(installation: House, client: Client) -> None:
    """Let every code path of web run once, with other runs and clients than those that are measured."""
    log = installation.held_log()
    client.ask({"open": [_path(*log)] * WARM_CLIENTS})
    for _ in range(WARM_EVENTS):
        _append_one(log[1])
    client.ask({"expect": WARM_EVENTS * WARM_CLIENTS})
    client.ask({"close": True})


def _append(
    installation: House, client: Client, logs: list[tuple[str, RunLog]], count: int, per_second: float
) -> Delivered:
    each = CLIENTS // len(logs)
    cpu = cpu_seconds(installation.web_pids())
    client.tell({"expect": count * each})
    for _ in range(count):
        time.sleep(random.expovariate(per_second))
        _append_one(random.choice(logs)[1])
    heard = client.hear()
    spread = Spread(*heard["spread"])
    cpu = (cpu_seconds(installation.web_pids()) - cpu) / max(1, spread.count)
    return Delivered(spread, cpu, heard["expected"] - spread.count + heard["disordered"] + heard["ended"])


def _append_one(log: RunLog) -> None:
    data = {"messageId": "msg_bench", "role": "assistant", "text": ""}
    draft = Draft(EventType.MESSAGE_DELTA, data, time.time(), source(1, log.last_seq + 1))
    data["text"] = f"{time.monotonic_ns()} {TEXT}"
    log.append([draft])


def _path(run_id: str, log: RunLog) -> str:
    return f"/api/runs/{run_id}/stream?cursor={log.last_seq}"


def _add(table: Table, name: str, delivered: Delivered, raw: Spread, *, barred: bool) -> None:
    ratio = delivered.spread.p50 / raw.p50
    figures = {**milliseconds(delivered.spread), "web CPU us": delivered.cpu * 1e6, "lost": delivered.lost}
    table.add(name, figures, ratio, Bar(f"p50 <= {RATIO_BAR:g}x XREAD", ratio, RATIO_BAR) if barred else None)


@contextlib.contextmanager
def _client(installation: House) -> Iterator[Client]:
    argv = [sys.executable, "-m", "bench.stream_client", "127.0.0.1", str(installation.stack.port)]
    process = subprocess.Popen(
        [*argv, installation.stack.token], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield Client(process)
    finally:
        process.kill()
        process.communicate()
