"""What Redis tells of itself: version, how full it is, whether it keeps what it is told. What follows from it is in
`app.services.redis_check`. INFO alone is asked: managed servers refuse CONFIG."""

from __future__ import annotations

from typing import Any

from app.adapters.redis_connection import answering, connect
from app.ports import RedisState

ANSWER_SECONDS = 1.0


class InfoRedisGauge:
    """An `app.ports.RedisGauge` on a connection of its own: looking must be quick, whatever others wait for."""

    def __init__(self, url: str) -> None:
        self._client: Any = connect(url, answer_seconds=ANSWER_SECONDS, retries=0, max_connections=2)

    def look(self) -> RedisState:
        with answering():
            return state_of(self._client.info())


def state_of(info: dict[str, Any]) -> RedisState:
    """Return what an answer to INFO says. Valkey gives a version of Redis that it is compatible with, and its own."""
    valkey = info.get("valkey_version")
    return RedisState(
        name=f"Valkey {valkey}" if valkey else f"Redis {info.get('redis_version', '?')}",
        version=_version(str(info.get("redis_version", "0"))),
        used_bytes=int(info.get("used_memory", 0)),
        limit_bytes=int(info.get("maxmemory", 0)),
        eviction=str(info.get("maxmemory_policy", "noeviction")),
        appends=bool(info.get("aof_enabled", 0)),
        append_error=_append_error(info),
    )


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    return (int(major) if major.isdigit() else 0, int(minor) if minor.isdigit() else 0)


def _append_error(info: dict[str, Any]) -> str:
    if not info.get("aof_enabled", 0):
        return ""
    return "" if info.get("aof_last_write_status", "ok") == "ok" else "the last write of its append-only file failed"
