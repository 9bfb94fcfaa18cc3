"""Handing a request on to another executor and its answer back, as it comes: for a host of executors, and for tests that stand in
front of one. What is handed on to whom is the caller's to decide."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator

from executor.http1 import Request, Response
from executor.refusal import Refused

_HOP = ("connection", "host", "transfer-encoding", "content-length", "keep-alive")
_PART = 64 * 1024
_SOCKET_PATH_LIMIT = 107
SECONDS = 960.0
"""A little longer than any client waits: who gives up first is the client."""


class _Upstream(http.client.HTTPConnection):
    """A connection to `unix:<path>` or `tcp:<host>:<port>`."""

    def __init__(self, address: str) -> None:
        super().__init__("executor", timeout=SECONDS)
        self._address = address

    def connect(self) -> None:
        kind, _, place = self._address.partition(":")
        if kind != "unix":
            host, _, port = place.rpartition(":")
            self.sock = socket.create_connection((host, int(port)), timeout=self.timeout)
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        if len(os.fsencode(place)) <= _SOCKET_PATH_LIMIT:
            self.sock.connect(place)
            return
        folder = os.open(os.path.dirname(place), os.O_PATH | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(place)}")
        finally:
            os.close(folder)


def forward(request: Request, address: str, target: str, headers: dict[str, str]) -> Response:
    """Send the request to `target` (path and query, still encoded) of the executor at `address`; `headers` replace the request's own.
    Raises Refused 502 where nobody answers."""
    sent = {name: value for name, value in request.headers.items() if name not in _HOP} | headers
    upstream = _Upstream(address)
    try:
        chunked = "chunked" in request.headers.get("transfer-encoding", "")
        framing = "transfer-encoding" if chunked else "content-length"
        sent[framing] = "chunked" if chunked else request.headers.get("content-length", "0")
        upstream.request(request.method, target, _parts(request), sent, encode_chunked=chunked)
        answer = upstream.getresponse()
    except (OSError, http.client.HTTPException) as error:
        upstream.close()
        raise Refused(502, "executor_unreachable", f"the executor does not answer: {error}") from error
    kept = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in _HOP}
    return Response(answer.status, _answered(answer, upstream), kept)


def _parts(request: Request) -> Iterator[bytes]:
    while part := request.body.read1(_PART):  # type: ignore[attr-defined]
        yield part


def _answered(answer: http.client.HTTPResponse, upstream: _Upstream) -> bytes | Iterator[bytes]:
    """Return a whole answer whose length is known and small; another one part by part."""
    if answer.length is None or answer.length > _PART:
        return _streamed(answer, upstream)
    try:
        return answer.read()
    finally:
        upstream.close()


def _streamed(answer: http.client.HTTPResponse, upstream: _Upstream) -> Iterator[bytes]:
    try:
        while part := answer.read1(_PART):
            yield part
    finally:
        upstream.close()
