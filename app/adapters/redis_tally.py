"""Counters of the whole installation in one Redis hash, `paddock:tally`: a field per series, named as Prometheus writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

from app.adapters.redis_connection import answering
from app.domain.metrics import series

KEY = "paddock:tally"

__all__ = ["KEY", "RedisTally", "series"]


class RedisTally:
    """A `Tally`."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def add(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        if amount == 0:
            return
        try:
            self._client.hincrby(KEY, series(name, labels), amount)
        except redis.RedisError:
            return  # a graph with a gap, and work that goes on

    def merge(self, counts: Mapping[str, int]) -> None:
        with answering(), self._client.pipeline(transaction=False) as pipe:
            for name, amount in counts.items():
                pipe.hincrby(KEY, name, amount)
            pipe.execute()

    def read(self) -> dict[str, int]:
        try:
            found = self._client.hgetall(KEY)
        except redis.RedisError:
            return {}
        return {field.decode(): int(value) for field, value in found.items()}
