"""The bell: Dramatiq messages over Redis, and a pub/sub word to the holder of a run. Messages carry no facts (decision 1)."""

from __future__ import annotations

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Callbacks, Pipelines, ShutdownNotifications

from app.adapters.redis_connection import answering
from app.errors import Unavailable
from app.log import logger

RUNS_QUEUE = "runs"
MAINTENANCE_QUEUE = "maintenance"
DRIVE_RUNS = "drive_runs"
GRANT_WISHES = "grant_wishes"
BELLS_ENOUGH = 256
"""With so many unheard bells in the queue one more says nothing new."""
COMMANDS_PATTERN = "paddock:run:*:commands"
_DATABASE = 1
"""Dramatiq looks over all keys of its database when a worker has died, so it gets one of its own."""


def commands_channel(run_id: str) -> str:
    return f"paddock:run:{run_id}:commands"


def make_broker(url: str) -> RedisBroker:
    """Return Paddock's broker. No retries and no time limit: SQL decides what is tried again and for how long."""
    separator = "&" if "?" in url else "?"
    target = f"{url}{separator}db={_DATABASE}" if url.startswith("unix:") else _with_database(url)
    client = redis.Redis.from_url(target, socket_timeout=10, socket_connect_timeout=2)
    return RedisBroker(
        client=client,
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
    """`app.ports.Bell`. A ring that Redis does not take is only logged: the sweep rings again."""

    def __init__(self, broker: RedisBroker, client: redis.Redis) -> None:
        self._broker, self._client = broker, client

    def ring_runs(self) -> None:
        self._ring(RUNS_QUEUE, DRIVE_RUNS)

    def ring_session_worker(self, session_id: str) -> None:
        self._ring(MAINTENANCE_QUEUE, GRANT_WISHES, session_id)

    def ring_command(self, run_id: str) -> None:
        try:
            with answering():
                self._client.publish(commands_channel(run_id), "")
        except Unavailable as error:
            logger.warning("bell not heard", run_id=run_id, error=error.message)
        self.ring_runs()

    def _ring(self, queue: str, actor: str, *arguments: str) -> None:
        try:
            with answering():
                if self._broker.client.llen(f"{self._broker.namespace}:{queue}") >= BELLS_ENOUGH:
                    return
                self._broker.enqueue(dramatiq.Message(queue, actor, arguments, {}, {}))
        except (Unavailable, dramatiq.errors.DramatiqError) as error:
            logger.warning("bell not rung", queue=queue, error=str(error))
