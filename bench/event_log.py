"""What an append to a log costs, beside what raw Redis does with the same bytes: rate and latency, one writer, in one run.

The rows take turns, so that they share whatever else the machine does. Appends of `RunLog` include the batches it writes to SQL.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable

import orjson

from app import db, ids
from app.adapters.redis_connection import connect
from app.adapters.redis_event_stream import RedisEventStream
from app.domain.events import Draft, Event, EventType, source
from bench.figures import Spread
from bench.table import Table
from tests.support import log_world
from tests.support.redis import redis_server

ROUNDS, APPENDS, TAKE_OVERS = 10, 200, 100
BATCH = 50
DATA = {"messageId": "msg_bench", "role": "assistant", "text": "x" * 100}


def measure() -> list[Table]:
    table = Table("appending to a log, one writer (SQLite, Redis on a unix socket)")
    with redis_server() as server, tempfile.TemporaryDirectory() as folder, connect(server.url) as client:
        database = db.connect(f"sqlite:///{folder}/bench.sqlite3")
        db.bind(database)
        db.migrate(database)
        stream = RedisEventStream(client)
        raw = b"".join([b"x" * 40, orjson.dumps(DATA)])
        one, many = _appender(stream, 1), _appender(stream, BATCH)
        log = log_world.take_over(log_world.new_run().id, stream)

        def text() -> None:
            log.append([Draft(EventType.MESSAGE_DELTA, DATA, time.time(), source(1, log.last_seq))])

        def state() -> None:
            log.append([Draft(EventType.RUN_STATUS, {"status": "running"}, time.time(), source(1))])

        acts: dict[str, tuple[Callable[[], object], int]] = {
            "Redis alone: XADD": (lambda: client.xadd("bench:raw", {"data": raw}), 1),
            "Paddock's door: one event (check, XADD, PUBLISH)": (one, 1),
            f"Paddock's door: a record of {BATCH} events": (many, BATCH),
            "RunLog: text (Redis first, SQL in batches)": (text, 1),
            "RunLog: state (SQL first)": (state, 1),
        }
        _fill(table, acts)
        takes = Spread.of(_timed(lambda: log_world.take_over(log._run_id, stream)) for _ in range(TAKE_OVERS))
        shown = takes.times(1e6)
        table.add("a take-over (fence, compare, tail to SQL)", {"p50 us": shown.p50, "p99 us": shown.p99})
        database.close()
    table.notes = ("Ratio: events per second to raw XADD's, one by one.",)
    return [table]


def _fill(table: Table, acts: dict[str, tuple[Callable[[], object], int]]) -> None:
    taken: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(ROUNDS):
        for name, (act, _) in acts.items():
            taken[name] += [_timed(act) for _ in range(APPENDS)]
    base = 0.0
    for name, (_, events) in acts.items():
        spread = Spread.of(taken[name]).times(1e6)
        rate = events * len(taken[name]) / sum(taken[name])
        base = base or rate
        table.add(name, {"events/s": rate, "p50 us": spread.p50, "p99 us": spread.p99}, rate / base)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _appender(stream: RedisEventStream, size: int) -> Callable[[], object]:
    """Return an act that appends `size` events to a log of its own."""
    run_id, last = ids.new_id("run"), 0
    stream.fence(run_id, 1, 0)

    def append() -> None:
        nonlocal last
        now = time.time()
        events = [Event(run_id, last + 1 + each, "message.delta", DATA, now, "1:1") for each in range(size)]
        answer = stream.append(run_id, 1, events)
        assert answer == "OK", answer
        last += size

    return append
