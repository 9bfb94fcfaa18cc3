"""A TCP proxy that fails on command, in front of Redis, PostgreSQL or an S3: pass, slow, blackhole, cut, heal.

A thread per direction of each connection, and nothing else: what it does to bytes is what a network does to them, never a change.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

Target = str | tuple[str, int]
"""A unix socket's path, or host and port."""
_CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes close() an RST


class FaultProxy:
    """Listens on `port` of 127.0.0.1. Connections and threads end with `close()`."""

    def __init__(self, target: Target) -> None:
        self.accepted = 0
        self._target = target
        self._delay = 0.0
        self._cut = self._closed = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def slow(self, seconds: float) -> None:
        """Hold each piece of what passes for so long."""
        self._delay = seconds

    def blackhole(self) -> None:
        """Go on accepting, and let nothing pass: neither bytes nor an end. What was sent meanwhile arrives after `heal`."""
        self._flowing.clear()

    def cut(self) -> None:
        """Break all connections off with an RST, and every new one."""
        self._cut = True
        self._break_off()

    def heal(self) -> None:
        """Let everything pass at once again."""
        self._delay, self._cut = 0.0, False
        self._flowing.set()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._break_off()
        self._flowing.set()

    def _break_off(self) -> None:
        with self._lock:
            for end in self._sockets:
                _reset(end)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self._cut:
                _reset(client)
                client.close()
            else:
                threading.Thread(target=self._join, args=(client,), name="proxy", daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        """Connect the other side, and pump both ways until one ends."""
        with self._kept(client):
            self._flowing.wait()
            try:
                server = connect(self._target)
            except OSError:
                _reset(client)
                return
            with self._kept(server):
                back = threading.Thread(target=self._pump, args=(server, client), name="proxy", daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(_CHUNK):
                time.sleep(self._delay)
                self._flowing.wait()
                target.sendall(chunk)
        self._flowing.wait()
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _kept(self, end: socket.socket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(end)
            if self._cut:
                _reset(end)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(end)
            end.close()


def connect(target: Target) -> socket.socket:
    if isinstance(target, tuple):
        return socket.create_connection(target, 5)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    end.connect(target)
    return end


def _reset(end: socket.socket) -> None:
    """Make the close an RST, and wake who reads."""
    with contextlib.suppress(OSError):
        if end.family == socket.AF_INET:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def proxy_to(target: Target) -> Iterator[FaultProxy]:
    """Stand in front of `target` for the length of the block."""
    proxy = FaultProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
