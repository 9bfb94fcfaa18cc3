"""The bell: Dramatiq messages over Redis, and a pub/sub word to the holder of a run. Messages carry no facts (decision 1)."""

from __future__ import annotations

import time
from collections.abc import Callable

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Callbacks, Pipelines, ShutdownNotifications

from app.adapters.redis_connection import answering, connect
from app.errors import Unavailable
from app.log import logger

RUNS_QUEUE = "runs"
MAINTENANCE_QUEUE = "maintenance"
DRIVE_RUNS = "drive_runs"
GRANT_WISHES = "grant_wishes"
BELLS_ENOUGH = 256
"""With so many unheard bells in the queue one more says nothing new."""
COMMANDS_PATTERN = "paddock:run:*:commands"
CONSUMER_SECONDS = 10.0
RING_SECONDS = 1.0
DEAF_SECONDS = 2.0
"""So long nobody rings after a bell was not heard: people wait for the answers of those who ring, and the sweep rings again."""
_DATABASE = 1
"""Dramatiq looks over all keys of its database when a worker has died, so it gets one of its own."""


def commands_channel(run_id: str) -> str:
    return f"paddock:run:{run_id}:commands"


def make_broker(url: str, *, answer_seconds: float = CONSUMER_SECONDS, retries: int = 1) -> RedisBroker:
    """Return Paddock's broker. No retries and no time limit: SQL decides what is tried again and for how long."""
    separator = "&" if "?" in url else "?"
    target = f"{url}{separator}db={_DATABASE}" if url.startswith("unix:") else _with_database(url)
    return RedisBroker(
        client=connect(target, answer_seconds=answer_seconds, retries=retries),
        middleware=[ShutdownNotifications(), Callbacks(), Pipelines()],
        heartbeat_timeout=15_000,
        maintenance_chance=100_000,
    )


def _with_database(url: str) -> str:
    head, _, tail = url.partition("://")
    address, _, query = tail.partition("?")
    host = address.partition("/")[0]
    return f"{head}://{host}/{_DATABASE}" + (f"?{query}" if query else "")


class DramatiqBell:
    """`app.ports.Bell`. A ring that Redis does not take is only logged, and takes little time: the sweep rings again."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._broker = make_broker(url, answer_seconds=RING_SECONDS, retries=0)
        self._client = connect(url, answer_seconds=RING_SECONDS, retries=0)
        self._clock = clock
        self._deaf_until = 0.0

    def ring_runs(self) -> None:
        self._ring(RUNS_QUEUE, DRIVE_RUNS)

    def ring_session_worker(self, session_id: str) -> None:
        self._ring(MAINTENANCE_QUEUE, GRANT_WISHES, session_id)

    def ring_command(self, run_id: str) -> None:
        self._tried(lambda: self._client.publish(commands_channel(run_id), ""), commands_channel(run_id))
        self.ring_runs()

    def _ring(self, queue: str, actor: str, *arguments: str) -> None:
        def ring() -> None:
            if self._broker.client.llen(f"{self._broker.namespace}:{queue}") < BELLS_ENOUGH:
                self._broker.enqueue(dramatiq.Message(queue, actor, arguments, {}, {}))

        self._tried(ring, queue)

    def _tried(self, ring: Callable[[], object], what: str) -> None:
        if self._clock() < self._deaf_until:
            return
        try:
            with answering():
                ring()
        except (Unavailable, dramatiq.errors.DramatiqError) as error:
            self._deaf_until = self._clock() + DEAF_SECONDS
            logger.warning("bell not rung", bell=what, error=str(error))
