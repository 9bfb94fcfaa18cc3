"""What is appended now, over one pub/sub connection per process (`app.ports.LiveFeed`). `lua/append.lua` is the sender.

redis-py's own PubSub is not made for one thread that reads while others subscribe; here the reading thread owns the
connection, and others only send on it, under a lock.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.redis_connection import CONNECT_SECONDS
from app.adapters.redis_event_stream import channel, decode_message
from app.domain.events import Event
from app.log import logger

_PREFIX, _SUFFIX = channel("\n").encode().split(b"\n")
_CHANNELS_PER_COMMAND = 500
_LONGEST_PAUSE = 1.0


class RedisLiveFeed:
    """The feed of one process. Start it after the process has forked."""

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,  # a reader that waits for the next message must not time out
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._lock = threading.Lock()
        self._connection: Any = None
        self._wanted: set[str] = set()
        self._acks: dict[str, deque[threading.Event]] = {}
        self._closed = threading.Event()
        self._pinged_at = 0.0
        self._heard_at = 0.0
        self._restoring = False

    def start(self, deliver: Callable[[str, list[Event], int], None], restored: Callable[[], None]) -> None:
        self._deliver, self._restored = deliver, restored
        threading.Thread(target=self._run, name="live-feed", daemon=True).start()

    def subscribe(self, run_id: str) -> threading.Event:
        ready = threading.Event()
        with self._lock:
            self._wanted.add(run_id)
            if self._connection is None:
                ready.set()
            else:
                self._acks.setdefault(run_id, deque()).append(ready)
                self._send("SUBSCRIBE", channel(run_id))
        return ready

    def unsubscribe(self, run_id: str) -> None:
        with self._lock:
            self._wanted.discard(run_id)
            if self._connection is not None:
                self._send("UNSUBSCRIBE", channel(run_id))

    def connected(self) -> bool:
        return self._connection is not None

    def ping(self) -> None:
        with self._lock:
            if self._connection is None:
                return
            if self._pinged_at > self._heard_at:
                logger.warning("live feed silent")
                self._cut()
                return
            self._pinged_at = time.monotonic()
            self._send("PING")

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._cut()

    # --- the reading thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.02
        while not self._closed.is_set():
            connection: Any = self._pool.make_connection()
            try:
                connection.connect()
                self._subscribe_all(connection)
                pause = 0.02
                while not self._closed.is_set():
                    self._handle(connection.read_response())
            except (redis.RedisError, OSError) as error:
                if not self._closed.is_set():
                    logger.warning("live feed interrupted", why=str(error))
            finally:
                self._let_go(connection)
            self._closed.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _subscribe_all(self, connection: Any) -> None:
        with self._lock:
            self._connection = connection
            self._pinged_at = self._heard_at = time.monotonic()
            channels = [channel(run_id) for run_id in self._wanted]
            for start in range(0, len(channels), _CHANNELS_PER_COMMAND):
                self._send("SUBSCRIBE", *channels[start : start + _CHANNELS_PER_COMMAND])
            self._restoring = True
            self._send("PING")  # answered after the subscriptions are: from then on nothing is missed

    def _let_go(self, connection: Any) -> None:
        with self._lock:
            self._connection = None
            for waiting in self._acks.values():
                for ready in waiting:
                    ready.set()
            self._acks.clear()
        connection.disconnect()

    def _handle(self, message: Any) -> None:
        self._heard_at = time.monotonic()
        kind = message[0] if isinstance(message, list) else b"pong"
        if kind == b"message":
            run_id = message[1][len(_PREFIX) : -len(_SUFFIX)].decode()
            try:
                events = decode_message(run_id, message[2])
            except ValueError as error:
                logger.error("live message not understood", run_id=run_id, why=str(error))
                return
            self._deliver(run_id, events, len(message[2]))
        elif kind == b"subscribe":
            self._acknowledge(message[1][len(_PREFIX) : -len(_SUFFIX)].decode())
        elif kind == b"pong" and self._restoring:
            self._restoring = False
            self._restored()

    def _acknowledge(self, run_id: str) -> None:
        with self._lock:
            waiting = self._acks.get(run_id)
            if waiting:
                waiting.popleft().set()
                if not waiting:
                    del self._acks[run_id]

    # --- sending, under the lock --------------------------------------------------------------------------------------------

    def _send(self, *words: str) -> None:
        """Send; where that fails the reading thread finds the connection cut and makes another."""
        connection = self._connection
        try:
            connection._sock.sendall(b"".join(connection.pack_command(*words)))  # noqa: SLF001 - send_command would close it under its reader
        except (OSError, AttributeError):
            self._cut()

    def _cut(self) -> None:
        connection = self._connection
        if connection is not None and connection._sock is not None:  # noqa: SLF001 - as above
            with contextlib.suppress(OSError):
                connection._sock.shutdown(socket.SHUT_RDWR)  # noqa: SLF001 - as above
