"""Connecting to Redis, and telling "it does not answer" from a mistake of ours. What is said to it is in the other adapters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis import exceptions
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from app.errors import Unavailable

ANSWER_SECONDS = 5.0
CONNECT_SECONDS = 2.0
_NOT_NOW = ("OOM ", "MISCONF ", "READONLY ", "LOADING ", "MASTERDOWN ", "NOREPLICAS ", "BUSY ")
"""What Redis says when it is full, cannot write its file, or is not the one to write to; a script wraps it in its own words."""
_REFUSED = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.MasterDownError)
"""The same where redis-py knows the word, and leaves it out of the message."""


def connect(
    url: str, *, answer_seconds: float = ANSWER_SECONDS, retries: int = 1, max_connections: int = 256
) -> redis.Redis:
    """Return a client for commands that answer at once. It tries twice and no more: callers know how long they may wait."""
    return redis.Redis.from_url(
        url,
        socket_timeout=answer_seconds,
        socket_connect_timeout=min(CONNECT_SECONDS, answer_seconds),
        retry=Retry(ConstantBackoff(0.02), retries),
        max_connections=max_connections,
    )


@contextmanager
def answering() -> Iterator[None]:
    """Raise Unavailable where Redis is away, still loading, a replica, or full."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, *_REFUSED) as error:
        raise _unavailable(error) from error
    except redis.ResponseError as error:
        if any(word in str(error) for word in _NOT_NOW):
            raise _unavailable(error) from error
        raise


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable("redis_unavailable", f"Redis does not answer: {error}", remedy="Look at `make status`.")
