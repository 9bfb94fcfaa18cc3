"""What the processes of the installation report of themselves: one Redis hash, `paddock:processes`, a field per process. Times are
Redis's own: the clocks of machines differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
import redis

from app.adapters.redis_connection import answering
from app.ports import ProcessReport, SeenProcess

KEY = "paddock:processes"


class RedisProcessBoard:
    """A `ProcessBoard`."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def put(self, report: ProcessReport) -> None:
        with answering():
            self._client.hset(KEY, report.name, orjson.dumps({"at": self._now(), **asdict(report)}))

    def remove(self, names: Sequence[str]) -> None:
        with answering():
            self._client.hdel(KEY, *names)

    def list(self) -> list[SeenProcess]:
        with answering():
            found, now = self._client.hvals(KEY), self._now()
        seen = []
        for text in found:
            try:
                fields = orjson.loads(text)
                seen.append(SeenProcess(max(0.0, now - fields.pop("at")), ProcessReport(**fields)))
            except (ValueError, TypeError, KeyError):
                continue  # another version's, during an upgrade
        return sorted(seen, key=lambda each: (each.report.component, each.report.name))

    def _now(self) -> float:
        seconds, micros = self._client.time()
        return float(seconds + micros / 1_000_000)
