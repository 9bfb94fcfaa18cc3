"""Counts tries in a window in Redis: `paddock:tries:{name}`, a number that expires with its window."""

from __future__ import annotations

from typing import Any

import redis

from app.errors import Unavailable

_ADD = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return {n, math.ceil(redis.call('PTTL', KEYS[1]) / 1000)}
"""
_TAKE_BACK = "if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('DECR', KEYS[1]) end return 0"


class RedisTryCounter:
    """A fixed window per name, the same for all processes."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client

    def add(self, name: str, window_seconds: int) -> tuple[int, int]:
        """Count one try; return how many there were in the window, and after how many seconds it has ended: never too few, so that
        who waits for as long as it is told does not come too early."""
        try:
            count, left = self._client.eval(_ADD, 1, self._key(name), window_seconds)
        except redis.RedisError as error:
            raise Unavailable("redis_unavailable", "Redis does not answer.") from error
        return int(count), int(left)

    def take_back(self, name: str) -> None:
        """Uncount one; a window that ended meanwhile stays ended."""
        try:
            self._client.eval(_TAKE_BACK, 1, self._key(name))
        except redis.RedisError:
            return  # counted one too many: the window ends by itself

    def _key(self, name: str) -> str:
        return f"paddock:tries:{name}"
