"""From an append to the clients, over HTTP, and what a client costs web in memory.

Real parts throughout: `RunLog` appends, Redis, gunicorn with gevent and the hub as deployed, 1,000 SSE connections. The wake-ups of
raw Redis take turns with the appends, on the same server, with a text of the same length.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
EVENTS, TURNS_PER_SECOND = 1000, 200
SHARED_EVENTS, SHARED_PER_SECOND = 100, 10
WARM_EVENTS = 20
RATIO_BAR = 3.0
MEMORY_BAR_KB = 64
RAW = {
    "xread": "Redis alone: XADD -> XREAD BLOCK on one stream",
    "xread-many": f"Redis alone: XADD -> XREAD BLOCK on {peers.STREAMS:,} streams",
    "pubsub": "Redis alone: PUBLISH -> SUBSCRIBE",
}
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
    latency = Table(f"append to client, {CLIENTS:,} SSE clients over HTTP (web: gunicorn + gevent, as deployed)")
    memory = Table("memory of web per client")
    with house() as installation:
        _measure_distinct(installation, latency, memory)
    with house() as installation:
        _measure_shared(installation, latency, memory)
    latency.notes = (
        "From before RunLog.append (XADD, PUBLISH) to after recv() in the client. Ratio to the first row, by p50.",
        f"XREAD on one stream and appends to {CLIENTS:,} runs take turns at random, {TURNS_PER_SECOND} turns a second.",
        f"One run: {SHARED_PER_SECOND} appends a second, each is {CLIENTS:,} deliveries; the p50 client is number {CLIENTS // 2}.",
    )
    memory.notes = ("Growth of all web processes together, after a warm-up with other clients. unique: USS.",)
    return [latency, memory]


def _measure_distinct(installation: House, latency: Table, memory: Table) -> None:
    logs = [installation.held_log() for _ in range(CLIENTS)]
    with _raw(installation, "xread") as raw, _connected(installation, logs, memory) as client:
        delivered, delays = _take_turns(installation, client, logs, raw)
    wake_up = Spread.of(delays)
    latency.add(RAW["xread"], milliseconds(wake_up), 1.0)
    for kind in ("xread-many", "pubsub"):
        spread = _ring_alone(installation, kind)
        latency.add(RAW[kind], milliseconds(spread), spread.p50 / wake_up.p50)
    ratio = delivered.spread.p50 / wake_up.p50
    bar = Bar(f"p50 <= {RATIO_BAR:g}x XREAD", ratio, RATIO_BAR)
    latency.add(f"Paddock: {CLIENTS:,} runs with a client each", _figures(delivered), ratio, bar)


def _measure_shared(installation: House, latency: Table, memory: Table) -> None:
    logs = [installation.held_log()]
    with _connected(installation, logs, memory) as client:
        delivered = _append(installation, client, logs, SHARED_EVENTS)
    latency.add(f"Paddock: one run with {CLIENTS:,} clients", _figures(delivered))


def _figures(delivered: Delivered) -> dict[str, float]:
    return {**milliseconds(delivered.spread), "web CPU us": delivered.cpu * 1e6, "lost": delivered.lost}


# --- appending -----------------------------------------------------------------------------------------------------------


def _take_turns(
    installation: House, client: Client, logs: list[tuple[str, RunLog]], raw: Callable[[], float]
) -> tuple[Delivered, list[float]]:
    """Append to the runs and ring raw Redis, in a random order, so that both see the same machine."""
    turns = [True, False] * EVENTS
    random.shuffle(turns)
    delays = []
    with _deliveries(installation, client, EVENTS) as delivered:
        for ours in turns:
            time.sleep(random.expovariate(TURNS_PER_SECOND))
            if ours:
                _append_one(random.choice(logs)[1])
            else:
                delays.append(raw())
    return delivered[0], delays


def _ring_alone(installation: House, kind: str) -> Spread:
    delays = []
    with _raw(installation, kind) as ring:
        for _ in range(EVENTS):
            time.sleep(random.expovariate(TURNS_PER_SECOND))
            delays.append(ring())
    return Spread.of(delays)


@contextlib.contextmanager
def _raw(installation: House, kind: str) -> Iterator[Callable[[], float]]:
    """Start a reader of raw Redis; what is yielded wakes it up and returns how long that took."""
    with peers.peer(kind, installation.redis_socket, PEER_DB) as peer:
        rings = {
            "xread": lambda: peer.ring_stream(TEXT),
            "xread-many": lambda: peer.ring_stream(TEXT, random.randrange(peers.STREAMS)),
            "pubsub": lambda: peer.ring_channel(TEXT),
        }
        yield rings[kind]


def _append(installation: House, client: Client, logs: list[tuple[str, RunLog]], count: int) -> Delivered:
    with _deliveries(installation, client, count * CLIENTS // len(logs)) as delivered:
        for _ in range(count):
            time.sleep(random.expovariate(SHARED_PER_SECOND))
            _append_one(random.choice(logs)[1])
    return delivered[0]


def _append_one(log: RunLog) -> None:
    data = {"messageId": "msg_bench", "role": "assistant", "text": ""}
    draft = Draft(EventType.MESSAGE_DELTA, data, time.time(), source(1, log.last_seq + 1))
    data["text"] = f"{time.monotonic_ns()} {TEXT}"
    log.append([draft])


@contextlib.contextmanager
def _deliveries(installation: House, client: Client, count: int) -> Iterator[list[Delivered]]:
    """Have the client count what is appended in the block; the list holds the result afterwards."""
    found: list[Delivered] = []
    cpu = cpu_seconds(installation.web_pids())
    client.tell({"expect": count})
    yield found
    heard = client.hear()
    spread = Spread(*heard["spread"])
    used = (cpu_seconds(installation.web_pids()) - cpu) / max(1, spread.count)
    found.append(Delivered(spread, used, heard["expected"] - spread.count + heard["disordered"] + heard["ended"]))


# --- clients -------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(installation: House, logs: list[tuple[str, RunLog]], memory: Table) -> Iterator[Client]:
    """Connect the clients, and note at the end what web's memory grew by."""
    with _client(installation) as client:
        _warm(installation, client)
        before = memory_of(installation.web_pids())
        client.ask({"open": [_path(*logs[number % len(logs)]) for number in range(CLIENTS)]})
        _append(installation, client, logs, WARM_EVENTS)
        yield client
        after = memory_of(installation.web_pids())
        client.ask({"close": True})
    unique, resident = (getattr(after, name) - getattr(before, name) for name in ("unique", "resident"))
    figures = {"clients": CLIENTS, "unique KB": unique / CLIENTS / 1024, "resident KB": resident / CLIENTS / 1024}
    bar = Bar(f"<= {MEMORY_BAR_KB} KB", max(unique, resident) / CLIENTS / 1024, MEMORY_BAR_KB)
    memory.add(f"{CLIENTS:,} clients on {len(logs):,} runs", figures, bar=bar)


def _warm(installation: House, client: Client) -> None:
    """Let every code path of web run once, with other runs and clients than those that are measured."""
    log = installation.held_log()
    client.ask({"open": [_path(*log)] * WARM_CLIENTS})
    for _ in range(WARM_EVENTS):
        _append_one(log[1])
    client.ask({"expect": WARM_EVENTS * WARM_CLIENTS})
    client.ask({"close": True})


def _path(run_id: str, log: RunLog) -> str:
    return f"/api/runs/{run_id}/stream?cursor={log.last_seq}"


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
