"""A small HTTP/1.1 server over a unix or TCP socket: keep-alive, chunked bodies both ways, a thread per connection.

The standard library's server costs more memory and start-up time than the whole executor may use. Routes live in `server`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from executor.refusal import Refused, refusal_of

_HEAD_LIMIT = 64 * 1024
_JSON_LIMIT = 256 * 1024 * 1024
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 409: "Conflict", 503: "Unavailable"}


class _Body(io.RawIOBase):
    """The body of a request as a raw stream, whether it came with a length or in chunks."""

    def __init__(self, source: io.BufferedReader[Any], length: int | None) -> None:
        self._source = source
        self._chunked = length is None
        self._left = length or 0
        self._ended = length == 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._chunked and self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        data = self._source.read1(min(self._left, len(buffer)))
        if not data:
            raise ConnectionResetError("the request ended early")
        buffer[: len(data)] = data
        self._left -= len(data)
        if self._left == 0:
            self._finish_part()
        return len(data)

    def _next_chunk(self) -> None:
        size = int(self._source.readline(_HEAD_LIMIT).split(b";")[0], 16)
        self._left = size
        if size == 0:
            self._source.readline(_HEAD_LIMIT)
            self._ended = True

    def _finish_part(self) -> None:
        if self._chunked:
            self._source.readline(_HEAD_LIMIT)
        else:
            self._ended = True

    def skip_rest(self) -> bool:
        """Read what the handler left, up to 1 MiB; False where there is more and the connection must go."""
        left = 1024 * 1024
        while left > 0:
            part = self.read(64 * 1024)
            if not part:
                return True
            left -= len(part)
        return self._ended


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: BinaryIO
    connection: socket.socket
    target: str = ""
    """Path and query as they came, still encoded."""

    def json(self) -> dict[str, Any]:
        data = self.body.read(_JSON_LIMIT)
        try:
            value = json.loads(data) if data else {}
        except ValueError:
            raise Refused(400, "invalid", "the body is not JSON") from None
        if not isinstance(value, dict):
            raise Refused(400, "invalid", "the body is not an object")
        return value

    def disconnected(self) -> bool:
        """True once the client has closed the connection."""
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


@dataclass(frozen=True, slots=True)
class Response:
    """`body` as an iterator is sent in chunks as it comes."""

    status: int = 200
    body: bytes | Iterator[bytes] = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


def json_response(value: object, status: int = 200) -> Response:
    return Response(status, json.dumps(value, separators=(",", ":")).encode(), {"content-type": "application/json"})


Handler = Callable[[Request], Response]


def listen(address: str) -> socket.socket:
    """Open `unix:<path>` (only its owner may connect) or `tcp:<host>:<port>`."""
    kind, _, place = address.partition(":")
    if kind == "unix":
        server = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
        folder = os.open(os.path.dirname(place), os.O_PATH | os.O_DIRECTORY)
        server.bind(f"/proc/self/fd/{folder}/{os.path.basename(place)}")  # a socket's path may have 107 bytes only
        os.close(folder)
        os.chmod(place, 0o600)
    else:
        host, _, port = place.rpartition(":")
        server = socket.create_server((host, int(port)), reuse_port=False)
    server.listen(128)
    return server


def serve(server: socket.socket, handler: Handler) -> None:
    """Accept connections for ever."""
    while True:
        connection, _ = server.accept()
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_converse, args=(connection, handler), name="http", daemon=True).start()


def _converse(connection: socket.socket, handler: Handler) -> None:
    raw = connection.makefile("rb", buffering=0)
    with connection, contextlib.suppress(OSError, ValueError), io.BufferedReader(raw, 64 * 1024) as source:
        while _exchange(connection, source, handler):
            pass


def _exchange(connection: socket.socket, source: io.BufferedReader[Any], handler: Handler) -> bool:
    """Serve one request; False when the connection is to be closed."""
    head = _read_head(source)
    if head is None:
        return False
    method, target, headers = head
    path, _, query = target.partition("?")
    length = None if "chunked" in headers.get("transfer-encoding", "") else int(headers.get("content-length", "0"))
    raw = _Body(source, length)
    names = dict(_decode(part.replace("+", " ")).partition("=")[::2] for part in query.split("&") if part)
    request = Request(method, _decode(path), names, headers, io.BufferedReader(raw, 64 * 1024), connection, target)
    response = _answer(request, handler)
    keep = _send(connection, response)
    return keep and raw.skip_rest() and headers.get("connection", "").lower() != "close"


def _decode(text: str) -> str:
    """Undo percent-encoding, once. (`urllib.parse` would be a tenth of the executor's start.) ValueError where it is malformed."""
    if "%" not in text:
        return text
    first, *others = text.encode("latin-1").split(b"%")
    raw = first + b"".join(bytes((int(part[:2], 16),)) + part[2:] for part in others)
    return raw.decode("utf-8", "surrogateescape")


def _read_head(source: io.BufferedReader[Any]) -> tuple[str, str, dict[str, str]] | None:
    line = source.readline(_HEAD_LIMIT)
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    left = _HEAD_LIMIT
    while (line := source.readline(_HEAD_LIMIT)) not in (b"\r\n", b"\n", b""):
        left -= len(line)
        if left < 0:
            raise ValueError("too many headers")
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return method, target, headers


def _answer(request: Request, handler: Handler) -> Response:
    try:
        return handler(request)
    except Refused as refused:
        return _refusal(refused)
    except OSError as error:
        return _refusal(refusal_of(error))
    except Exception as error:  # noqa: BLE001 - the boundary: a defect here must not end the agents
        return _refusal(Refused(500, "internal", type(error).__name__ + ": " + str(error)))


def _refusal(refused: Refused) -> Response:
    return json_response({"error": refused.code, "message": refused.message}, refused.status)


def _send(connection: socket.socket, response: Response) -> bool:
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if isinstance(response.body, bytes):
        lines.append(f"content-length: {len(response.body)}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + response.body)
        return True
    lines.append("transfer-encoding: chunked")
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    for part in response.body:
        if part:
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")
    return True
