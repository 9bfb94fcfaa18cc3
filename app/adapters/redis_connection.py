"""Connecting to Redis, and telling "it does not answer" from a mistake of ours. What is said to it is in the other adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from app.errors import Unavailable

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2.0


def connect(url: str, *, max_connections: int = 256) -> redis.Redis:
    """Return a client for commands that answer at once. It tries twice and no more: callers know how long they may wait."""
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(ConstantBackoff(0.02), 1),
        max_connections=max_connections,
    )


@contextmanager
def answering() -> Iterator[None]:
    """Raise Unavailable where Redis is away, still loading, a replica, or full."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError) as error:
        raise Unavailable(
            "redis_unavailable", f"Redis does not answer: {error}", remedy="Look at `make status`."
        ) from error
