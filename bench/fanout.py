"""From an append to those who follow in web's process: the hub alone, without HTTP, beside the wake-ups of raw Redis.

What HTTP adds is measured by `live_streams`; the difference is the server's and the load client's. The hub runs in a process of
its own under gevent, as in web: `python -m bench.fanout REDIS_SOCKET DATABASE_URL`, orders and answers in JSON lines.
"""

from __future__ import annotations

if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import peers
from bench.figures import Spread, milliseconds
from bench.table import Bar, Table

CLIENTS = 1000
EVENTS, PER_SECOND = 2000, 200
SHARED_EVENTS, SHARED_PER_SECOND = 200, 20
ROUNDS = 3
RATIO_BAR = 3.0
MEMORY_BAR_KB = 64.0
TEXT = "x" * 100
PEER_DB = 9


def measure() -> list[Table]:
    from tests.support.redis import redis_server

    latency = Table(f"append to follower inside web, {CLIENTS:,} followers (the hub under gevent, no HTTP)")
    memory = Table("memory of a follower in the hub (no HTTP)")
    with redis_server() as server, tempfile.TemporaryDirectory() as folder:
        bench = _Bench(str(server.socket), f"sqlite:///{folder}/bench.sqlite3")
        raw, distinct = bench.alternate()
        shared = bench.follow([0] * CLIENTS, SHARED_EVENTS, SHARED_PER_SECOND)
    for name, spread in raw.items():
        latency.add(name, milliseconds(spread), spread.p50 / raw["Redis: XADD -> XREAD BLOCK"].p50)
    base = raw["Redis: XADD -> XREAD BLOCK"].p50
    for name, found, barred in (("a run each", distinct, True), ("all on one run", shared, False)):
        spread = Spread.of(found["delays"])
        figures = {**milliseconds(spread), "hub CPU us": found["cpu"] * 1e6, "lost": found["lost"]}
        ratio = spread.p50 / base
        bar = Bar(f"p50 <= {RATIO_BAR:g}x XREAD", ratio, RATIO_BAR) if barred else None
        latency.add(f"hub, {name}", figures, ratio, bar)
        size = found["bytes"] / CLIENTS / 1024
        memory.add(f"hub, {name}", {"followers": CLIENTS, "KB each": size}, bar=Bar("<= 64 KB", size, MEMORY_BAR_KB))
    latency.notes = (
        "From before the append (one script: XADD, PUBLISH) to after the follower's next(). Ratio to the first row, by p50.",
        f"Distinct runs: {PER_SECOND} appends a second over all; raw and hub alternate in {ROUNDS} rounds.",
    )
    return [latency, memory]


class _Bench:
    """Appends in this process to what a hub in another follows."""

    def __init__(self, socket: str, database_url: str) -> None:
        from app import db
        from app.adapters.redis_connection import connect
        from app.adapters.redis_event_stream import RedisEventStream

        self._socket, self._database_url = socket, database_url
        database = db.connect(database_url)
        db.migrate(database)
        database.close()
        self._stream = RedisEventStream(connect(f"unix://{socket}"))
        self._seqs: dict[str, int] = {}

    def alternate(self) -> tuple[dict[str, Spread], dict[str, Any]]:
        names = {"xread": "Redis: XADD -> XREAD BLOCK", "pubsub": "Redis: PUBLISH -> SUBSCRIBE"}
        raw: dict[str, list[float]] = {name: [] for name in names.values()}
        total: dict[str, Any] = {"delays": [], "cpu": 0.0, "lost": 0, "bytes": 0}
        for _ in range(ROUNDS):
            for kind, name in names.items():
                with peers.peer(kind, self._socket, PEER_DB) as peer:
                    for _ in range(EVENTS // ROUNDS):
                        time.sleep(random.expovariate(PER_SECOND))
                        raw[name].append(peer.ring_stream(TEXT) if kind == "xread" else peer.ring_channel(TEXT))
            found = self.follow(list(range(CLIENTS)), EVENTS // ROUNDS, PER_SECOND)
            total["delays"] += found["delays"]
            total["cpu"] += found["cpu"] / ROUNDS
            total["lost"] += found["lost"]
            total["bytes"] = max(total["bytes"], found["bytes"])
        return {name: Spread.of(delays) for name, delays in raw.items()}, total

    def follow(self, runs: list[int], count: int, per_second: float) -> dict[str, Any]:
        """Let one follower per entry of `runs` follow that run; return what they report of `count` appends."""
        argv = [sys.executable, "-m", "bench.fanout", self._socket, self._database_url]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            names = [f"run_bench{number}" for number in runs]
            for name in set(names):
                if name not in self._seqs:
                    self._stream.fence(name, 1, 0)
                    self._seqs[name] = 0
                    self._append(name)
            each = len(runs) // len(set(runs))
            order = {"runs": [[name, self._seqs[name]] for name in names], "expect": count * each}
            process.stdin.write(json.dumps(order) + "\n")
            process.stdout.readline()
            for _ in range(count):
                time.sleep(random.expovariate(per_second))
                self._append(random.choice(names))
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            return answer
        finally:
            process.kill()
            process.communicate()

    def _append(self, run_id: str) -> None:
        from app.domain.events import Event

        self._seqs[run_id] += 1
        seq = self._seqs[run_id]
        data = {"messageId": "m", "role": "assistant", "text": f"{time.monotonic_ns()} {TEXT}"}
        answer = self._stream.append(run_id, 1, [Event(run_id, seq, "message.delta", data, time.time(), f"1:{seq}")])
        assert answer == "OK", answer


def serve(socket: str, database_url: str) -> None:
    """Follow what is ordered, and report how long each event took."""
    import gevent

    from app import db
    from app.adapters.redis_connection import connect
    from app.adapters.redis_event_stream import RedisEventStream
    from app.adapters.redis_live_feed import RedisLiveFeed
    from app.services.log_reader import LogReader
    from web.channel import Batch
    from web.hub import Hub, Subscription

    db.bind(db.connect(database_url))
    url = f"unix://{socket}"
    hub = Hub(LogReader(RedisEventStream(connect(url))), RedisLiveFeed(url), 15.0)
    delays: list[float] = []
    lost = 0

    subscriptions: list[Subscription] = []

    def follow(run_id: str, cursor: int) -> None:
        nonlocal lost
        seq = cursor
        subscriptions.append(hub.join(run_id, cursor))
        for item in subscriptions[-1]:
            now = time.monotonic_ns()
            if isinstance(item, Batch):
                for event in item.events:
                    delays.append((now - int(event.data["text"].partition(" ")[0])) / 1e9)
                    lost += event.seq != seq + 1
                    seq = event.seq

    order = json.loads(sys.stdin.readline())
    before = _resident()
    for run_id, cursor in order["runs"]:
        gevent.spawn(follow, run_id, cursor)
    while any(each._unsure for each in subscriptions) or len(subscriptions) < len(order["runs"]):
        gevent.sleep(0.05)
    cpu = time.process_time()
    print("following", flush=True)
    deadline = time.monotonic() + 60
    while len(delays) < order["expect"] and time.monotonic() < deadline:
        gevent.sleep(0.05)
    cpu = (time.process_time() - cpu) / max(1, len(delays))
    lost += order["expect"] - len(delays)
    print(json.dumps({"delays": delays, "cpu": cpu, "lost": lost, "bytes": _resident() - before}), flush=True)


def _resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


if __name__ == "__main__":
    serve(*sys.argv[1:])
