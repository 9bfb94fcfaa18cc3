"""Clients of a run's log as users have them: SSE and WebSocket readers that come back with their cursor whenever they were cut
off, and keep what they got over all their connections."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import simple_websocket

from tests.support.waiting import eventually

PAUSE_SECONDS = 0.05
"""Before a refused connection is tried again."""


class LogClient(threading.Thread):
    """Follows one run to `run.closed`. `frames` are the events' bytes as they came, over `connections` connections; `resets`
    counts how often the server said that the cursor was beyond the log."""

    def __init__(
        self, url: str, token: str, run_id: str, *, drop_after: Callable[[], float] | None = None, patience: float = 120
    ) -> None:
        """`drop_after` says, for each connection, after how many seconds the client lets go of it, in the middle of anything."""
        super().__init__(daemon=True)
        address = urlsplit(url)
        self.host, self.port = str(address.hostname), int(address.port or 80)
        self.run_id, self._token, self._drop_after = run_id, token, drop_after
        self.frames: list[bytes] = []
        self.connections = self.resets = self.last = 0
        self.problem: Exception | None = None
        self.closed = False
        self._end = time.monotonic() + patience

    @property
    def envelopes(self) -> list[dict[str, Any]]:
        return [orjson.loads(frame) for frame in self.frames]

    def run(self) -> None:
        while not self.closed and time.monotonic() < self._end:
            let_go = time.monotonic() + self._drop_after() if self._drop_after else self._end
            try:
                for kind, data in self._read(let_go):
                    self._take(kind, data)
                    if self.closed or time.monotonic() > let_go:
                        break
            except (OSError, http.client.HTTPException, simple_websocket.ConnectionClosed) as error:
                self.problem = error
                threading.Event().wait(PAUSE_SECONDS)

    def finish(self, seconds: float = 60) -> None:
        """Wait until the log was read to its end."""
        eventually(lambda: self.closed, seconds, what=f"{type(self).__name__} reads {self.run_id} to its end")
        self.join()

    def _take(self, kind: str, data: bytes) -> None:
        if kind == "reset":
            self.resets += 1
        elif kind != "heartbeat":
            self.frames.append(data)
            self.last = int(orjson.loads(data)["seq"])
            self.closed = kind == "run.closed"

    def _read(self, until: float) -> Iterator[tuple[str, bytes]]:
        """Connect behind `last` and yield `(type, data)` until the connection ends or the time is up."""
        raise NotImplementedError


class SseClient(LogClient):
    """Resumes by Last-Event-ID, as a browser does."""

    def _read(self, until: float) -> Iterator[tuple[str, bytes]]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "text/event-stream"}
        if self.last:
            headers["Last-Event-ID"] = str(self.last)
        with contextlib.closing(connection):
            connection.request("GET", f"/api/runs/{self.run_id}/stream", headers=headers)
            wire = connection.sock
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise http.client.HTTPException(f"{response.status} {response.read(500)!r}")
            self.connections += 1
            wire.settimeout(max(0.01, until - time.monotonic()))
            with response:
                yield from self._events(response, until)

    def _events(self, lines: http.client.HTTPResponse, until: float) -> Iterator[tuple[str, bytes]]:
        event: dict[bytes, bytes] = {}
        for line in lines:
            if time.monotonic() > until:
                return
            if line != b"\n":
                name, _, value = line.rstrip(b"\n").partition(b": ")
                event[name] = value
            else:
                if b"data" in event:
                    yield event[b"event"].decode(), event[b"data"]
                event = {}


class SlowSseClient(SseClient):
    """Takes one event in `PACE_SECONDS` until it is told to `hurry`; `seen_slowly` is how far it came until then."""

    PACE_SECONDS = 0.2

    def __init__(self, url: str, token: str, run_id: str, *, patience: float) -> None:
        super().__init__(url, token, run_id, patience=patience)
        self.hurry = threading.Event()
        self.seen_slowly = 0

    def _take(self, kind: str, data: bytes) -> None:
        super()._take(kind, data)
        if not self.hurry.wait(self.PACE_SECONDS):
            self.seen_slowly = self.last


class _Connection(simple_websocket.Client):  # type: ignore[misc]
    """Closes its socket also where the handshake fails, which the library leaves open."""

    def handshake(self) -> None:
        try:
            super().handshake()
        except BaseException:
            self.sock.close()
            raise


class WebSocketClient(LogClient):
    """Resumes by `?cursor=`."""

    def _read(self, until: float) -> Iterator[tuple[str, bytes]]:
        socket.create_connection(
            (self.host, self.port), 10
        ).close()  # where nobody listens, the library leaves a socket open
        address = f"ws://{self.host}:{self.port}/ws/runs/{self.run_id}?cursor={self.last}"
        connection = _Connection(address, headers={"Authorization": f"Bearer {self._token}"})
        self.connections += 1
        try:
            while (left := until - time.monotonic()) > 0:
                text = connection.receive(timeout=left)
                if text is not None:
                    data = text.encode() if isinstance(text, str) else text
                    yield str(orjson.loads(data)["type"]), data
        finally:
            with contextlib.suppress(simple_websocket.ConnectionClosed, OSError):
                connection.close()
            connection.sock.close()  # which the library leaves open where the other side ended first


def archive_of(client: httpx.Client, run_id: str, limit: int = 500) -> list[bytes]:
    """Return the whole log as the pages of `GET /events` have it, event by event."""
    frames: list[bytes] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = client.get(f"/api/runs/{run_id}/events", params={"cursor": cursor, "limit": limit}).json()
        frames += [orjson.dumps(item) for item in page["items"]]
        cursor = page["nextCursor"]
    return frames


def assert_whole(client: LogClient, archive: Sequence[bytes]) -> None:
    """What the client got over all its connections is the archive, byte for byte."""
    assert client.resets == 0
    assert client.closed, f"ended at {client.last}: {client.problem!r}"
    assert b"\n".join(client.frames) == b"\n".join(archive), f"after {client.connections} connections"
