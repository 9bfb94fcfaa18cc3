"""How long a PostgreSQL may be silent: psycopg2 itself would wait for ever for a server that took a statement and says nothing.

psycopg2 calls `wait` whenever it would block (its "green" mode); in web, where gevent has replaced `select`, other requests go on
meanwhile. A connection that was silent for too long is closed and its statement fails like that of a server that went away.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg2
from psycopg2 import extensions

SILENCE_SECONDS = 10.0

_limit: ContextVar[float | None] = ContextVar("silence", default=SILENCE_SECONDS)


def install() -> None:
    """Let every connection of this process wait like this."""
    extensions.set_wait_callback(wait)


@contextmanager
def patience() -> Iterator[None]:
    """Wait for as long as it takes: a migration may be at work for minutes without a word."""
    token = _limit.set(None)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def copying() -> Iterator[None]:
    """Let COPY through, which psycopg2 does not do in its green mode; for a process that does nothing else meanwhile."""
    extensions.set_wait_callback(None)
    try:
        yield
    finally:
        install()


def wait(connection: Any) -> None:
    """Wait until the connection has what it needs; OperationalError after too long a silence."""
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        wanted = select.POLLIN if state == extensions.POLL_READ else select.POLLOUT
        poller = select.poll()
        poller.register(connection.fileno(), wanted)
        limit = _limit.get()
        if not poller.poll(None if limit is None else limit * 1000):
            raise psycopg2.OperationalError(f"the server was silent for {limit:g} s")
