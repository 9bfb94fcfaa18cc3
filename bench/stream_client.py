"""The load client of `live_streams`: any number of SSE connections in one process, on raw sockets and epoll.

It is told what to do in lines of JSON on stdin and answers in lines on stdout: `{"open": [path, …]}` connects, `{"expect": n}`
waits for n events and tells how late they were, `{"close": true}` hangs up. An event's text begins with the moment its append began
(CLOCK_MONOTONIC, ns); it counts as received when `recv` has returned. Every connection's seqs are checked to be without gap.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from array import array
from typing import Any

from bench.figures import Spread

EVENT = re.compile(rb"id: (\d+)\nevent: message\.delta\ndata: [^\n]*?\"text\":\"(\d+) [^\n]*\n\n")
PATIENCE_SECONDS = 60.0


class Connections:
    """The open streams of this process."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._address, self._token = (host, port), token
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._held: dict[int, bytes] = {}
        self._last: dict[int, int] = {}
        self._delays = array("d")
        self._disordered = 0
        self._ended = 0

    def open(self, paths: list[str]) -> dict[str, Any]:
        for path in paths:
            connection = socket.create_connection(self._address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = f"GET {path} HTTP/1.1\r\nHost: {self._address[0]}:{self._address[1]}\r\nAuthorization: Bearer {self._token}\r\n"
            connection.sendall(f"{head}Accept: text/event-stream\r\n\r\n".encode())
            self._await_begin(connection, path)
            connection.setblocking(False)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection.fileno(), select.EPOLLIN)
        return {"open": len(self._sockets)}

    def expect(self, count: int) -> dict[str, Any]:
        """Receive until `count` events have come since the last call, or nothing more comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self._delays) < count and time.monotonic() < deadline:
            for descriptor, _ in self._epoll.poll(1.0):
                self._receive(descriptor)
        spread = Spread.of(self._delays)
        answer = {"spread": [getattr(spread, name) for name in Spread.__slots__], "expected": count}
        self._delays = array("d")
        return {**answer, "disordered": self._disordered, "ended": self._ended}

    def close(self) -> dict[str, Any]:
        for connection in self._sockets.values():
            self._epoll.unregister(connection.fileno())
            connection.close()
        closed = len(self._sockets)
        self._sockets, self._held, self._last = {}, {}, {}
        return {"closed": closed}

    def _await_begin(self, connection: socket.socket, path: str) -> None:
        """Read up to the first frame; the stream must be new, with nothing behind its cursor."""
        connection.settimeout(PATIENCE_SECONDS)
        begun = b""
        while b"retry:" not in begun or not begun.endswith(b"\n\n\r\n"):
            part = connection.recv(65536)
            begun += part
            if not part or not begun.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{path}: {begun[:500]!r}")
        connection.settimeout(None)

    def _receive(self, descriptor: int) -> None:
        data = self._sockets[descriptor].recv(262_144)
        now = time.monotonic_ns()
        if not data:
            self._epoll.unregister(descriptor)
            self._sockets.pop(descriptor).close()
            self._ended += 1
            return
        data = self._held.pop(descriptor, b"") + data
        end = 0
        for found in EVENT.finditer(data):
            seq, sent = int(found[1]), int(found[2])
            self._delays.append((now - sent) / 1e9)
            if seq != self._last.get(descriptor, seq - 1) + 1:
                self._disordered += 1
            self._last[descriptor] = seq
            end = found.end()
        if not data.endswith(b"\n\n\r\n"):  # a chunk ends with its frame, unless the kernel cut it
            self._held[descriptor] = data[end:]


def main() -> None:
    host, port, token = sys.argv[1:]
    connections = Connections(host, int(port), token)
    for line in sys.stdin:
        order = json.loads(line)
        if "open" in order:
            answer = connections.open(order["open"])
        elif "expect" in order:
            answer = connections.expect(order["expect"])
        else:
            answer = connections.close()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
