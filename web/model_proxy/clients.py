"""Agents that go away in the middle of a call: nobody would notice before the next byte is written, and the model would go on for
nobody. So their connection is watched as long as their call lasts."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Mapping
from typing import Any

import gevent

LOOK_SECONDS = 30.0


class ClientGone(OSError):
    """The agent closed its connection."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the agent is gone")


class Watch:
    """Raises ClientGone in the greenlet that made it when its client is gone, until `stop`."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._socket: socket.socket | None = environ.get("gunicorn.socket")
        self._served = gevent.getcurrent()
        self._is_over = False
        self._watcher = gevent.spawn(self._look) if self._socket is not None else None

    def stop(self) -> None:
        self._is_over = True
        if self._watcher is not None:
            self._watcher.kill(block=False)

    def _look(self) -> None:
        assert self._socket is not None  # noqa: S101 - for the type checker; there is no watcher without one
        while not self._is_over:
            try:
                readable, _, _ = select.select([self._socket], [], [], LOOK_SECONDS)
                if not readable:
                    continue
                gone = not self._socket.recv(1, socket.MSG_PEEK)
            except (OSError, ValueError):
                gone = True
            if not gone:
                return  # the next request is there already: this client waits for its answers
            if not self._is_over:
                gevent.kill(self._served, ClientGone())
            return
