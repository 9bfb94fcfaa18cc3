"""Agents that go away in the middle of a call: nobody would notice before the next byte is written, and the model would go on for
nobody. So their connection is watched as long as their call lasts."""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Mapping
from typing import Any

import gevent
from gevent import monkey

LOOK_SECONDS = 30.0

_plain_socket = monkey.get_original("socket", "socket")
"""Not gevent's: two greenlets may not wait for the same of those, and gunicorn waits for the next request on its own."""


class ClientGone(OSError):
    """The agent closed its connection."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the agent is gone")


class Watch:
    """Raises ClientGone in the greenlet that made it when its client is gone, from `start` until `stop`. `is_gone` says so as well:
    what the greenlet waits in may make another error of it."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._served = gevent.getcurrent()
        self._connection: socket.socket | None = environ.get("gunicorn.socket")
        self._watcher: gevent.Greenlet | None = None
        self._is_over = False
        self.is_gone = False

    def start(self) -> None:
        """To be called when the request has been read: a body that is still to be read looks like the next request."""
        if self._connection is not None:
            self._watcher = gevent.spawn(self._look, _plain_socket(fileno=os.dup(self._connection.fileno())))

    def stop(self) -> None:
        self._is_over = True
        if self._watcher is not None:
            self._watcher.kill(block=False)

    def _look(self, connection: socket.socket) -> None:
        with connection:
            while not self._is_over:
                readable, _, _ = select.select([connection], [], [], LOOK_SECONDS)
                if not readable or self._is_over:
                    continue
                if _is_open(connection):
                    return  # the next request is there already: this client waits for its answers
                self.is_gone = True
                gevent.kill(self._served, ClientGone())
                return


def _is_open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False
