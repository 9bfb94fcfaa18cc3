"""Counters of the whole installation in one Redis hash, `paddock:tally`: a field per series, named as Prometheus writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis

KEY = "paddock:tally"


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

    def read(self) -> dict[str, int]:
        try:
            found = self._client.hgetall(KEY)
        except redis.RedisError:
            return {}
        return {field.decode(): int(value) for field, value in found.items()}


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return a series as Prometheus writes it; labels are words of ours."""
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"
