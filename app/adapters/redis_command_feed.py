"""Hearing, in a worker, that a run it holds has a command. Only a hint: the holder also looks at each renewal (decision 3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from app.adapters.dramatiq_bell import COMMANDS_PATTERN
from app.log import logger

_PAUSE_SECONDS = 0.5


class RedisCommandFeed:
    """Calls `on_command(run_id)` for each word on the commands channels, from a thread of its own."""

    def __init__(self, url: str, on_command: Callable[[str], None]) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=2, health_check_interval=15
        )
        self._on_command = on_command
        self._stopping = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="command-feed", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except redis.RedisError as error:
                logger.warning("command feed interrupted", error=str(error))
                time.sleep(_PAUSE_SECONDS)

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
            pubsub.psubscribe(COMMANDS_PATTERN)
            while not self._stopping.is_set():
                message: dict[str, Any] | None = pubsub.get_message(timeout=1.0)
                if message is not None:
                    self._on_command(message["channel"].decode().split(":")[2])
