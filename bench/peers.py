"""What Paddock is compared with, each in a process of its own: `python -m bench.peers KIND REDIS_SOCKET DATABASE`.

Every wake-up carries the moment it was sent (CLOCK_MONOTONIC, the same for all processes of a machine); a peer reports how many
nanoseconds that was ago when its code ran. `Peer` starts one and talks to it.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker

from tests.support.processes import running

RESULTS = "bench:results"
BELL = "bench:bell"
CHANNEL = "bench:channel"
STREAM = "bench:stream:%d"
STREAMS = 1000
PATIENCE_SECONDS = 30


def connect(socket: str, database: int) -> redis.Redis:
    return redis.Redis(unix_socket_path=socket, db=database, socket_timeout=None)


def report(client: redis.Redis, sent_ns: int) -> None:
    """Note how long ago something was sent."""
    client.rpush(RESULTS, time.monotonic_ns() - sent_ns)


# --- the peers' own loops ------------------------------------------------------------------------------------------------


def stock_dramatiq(client: redis.Redis) -> None:
    """A worker with everything as it comes: 8 threads, consumers that sleep up to a second when idle."""
    broker = RedisBroker(client=client)
    declare(broker, lambda sent_ns: report(client, sent_ns))
    worker = dramatiq.Worker(broker)
    worker.start()
    client.rpush(RESULTS, 0)
    worker.join()
    while True:
        time.sleep(60)


def _nothing(_sent_ns: int) -> None: ...


def declare(broker: RedisBroker, work: Callable[[int], None] = _nothing) -> Any:
    """Return the actor; whoever only sends needs no work for it."""
    return dramatiq.actor(work, actor_name="work", broker=broker)


def blocking_pop(client: redis.Redis) -> None:
    """BLPOP: the fastest way to wake one process through Redis."""
    client.rpush(RESULTS, 0)
    while True:
        found: Any = client.blpop([BELL])
        report(client, int(found[1]))


def stream_reader(client: redis.Redis, streams: int) -> None:
    """XREAD BLOCK over `streams` streams on one connection."""
    last: dict[Any, Any] = {(STREAM % number).encode(): b"0-0" for number in range(streams)}
    reader = connect(client.connection_pool.connection_kwargs["path"], client.connection_pool.connection_kwargs["db"])
    client.rpush(RESULTS, 0)
    while True:
        for name, entries in reader.xread(last, block=60_000):  # type: ignore[union-attr, arg-type]
            arrived = time.monotonic_ns()
            for entry_id, fields in entries:
                last[name] = entry_id
                client.rpush(RESULTS, arrived - int(fields[b"sent"]))


def subscriber(client: redis.Redis) -> None:
    """SUBSCRIBE on one channel."""
    listener = client.pubsub(ignore_subscribe_messages=False)
    listener.subscribe(CHANNEL)
    for message in listener.listen():
        arrived = time.monotonic_ns()
        if message["type"] == "subscribe":
            client.rpush(RESULTS, 0)
        else:
            client.rpush(RESULTS, arrived - int(message["data"].partition(b" ")[0]))


LOOPS: dict[str, Callable[[redis.Redis], None]] = {
    "dramatiq": stock_dramatiq,
    "blpop": blocking_pop,
    "xread": lambda client: stream_reader(client, 1),
    "xread-many": lambda client: stream_reader(client, STREAMS),
    "pubsub": subscriber,
}


# --- from outside --------------------------------------------------------------------------------------------------------


@dataclass
class Peer:
    """A running peer and the connection to its Redis database."""

    client: redis.Redis

    def result(self) -> float:
        """Wait for one wake-up and return how long it took, in seconds."""
        found: Any = self.client.blpop([RESULTS], timeout=PATIENCE_SECONDS)
        if found is None:
            raise TimeoutError("the peer did not wake up")
        return int(found[1]) / 1e9

    def ring_stream(self, text: str, number: int = 0) -> float:
        self.client.xadd(STREAM % number, {"sent": time.monotonic_ns(), "text": text})
        return self.result()

    def ring_channel(self, text: str) -> float:
        self.client.publish(CHANNEL, f"{time.monotonic_ns()} {text}")
        return self.result()

    def ring_bell(self) -> float:
        self.client.rpush(BELL, time.monotonic_ns())
        return self.result()


@contextlib.contextmanager
def peer(kind: str, socket: str, database: int) -> Iterator[Peer]:
    """Start a peer on a database of its own, emptied before."""
    client = connect(socket, database)
    client.flushdb()
    with running([sys.executable, "-m", "bench.peers", kind, socket, str(database)]):
        started = Peer(client)
        started.result()
        yield started
    client.flushdb()
    client.close()


def main() -> None:
    kind, socket, database = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt, redis.ConnectionError, subprocess.SubprocessError):
        LOOPS[kind](connect(socket, int(database)))


if __name__ == "__main__":
    main()
