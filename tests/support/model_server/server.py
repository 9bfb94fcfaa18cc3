"""The HTTP side of the scripted model server: routes, streams, gates, and a log of every request for assertions."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.support.model_server import anthropic, chat, responses
from tests.support.model_server.scenario import Failing, Text, next_answer

PROTOCOLS: dict[str, Any] = {"/v1/messages": anthropic, "/v1/responses": responses, "/v1/chat/completions": chat}
MISSING_MODEL = "no-such-model"
"""Every call with this model is answered 404."""
RETRY_AFTER_MS = "20"
"""Goes with every error. Who heeds it (OpenCode, whose own pauses are 2, 4 and 8 s) asks as often as otherwise, only sooner."""


@dataclass(frozen=True)
class Logged:
    """One request. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(repr=False)

    @property
    def model(self) -> str | None:
        return self.body.get("model")

    @property
    def key(self) -> str | None:
        """The credential, from whichever header it came in."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key") or bearer or None


class ModelServer:
    """Serves on a thread while it is entered. `url` is what a base URL variable must hold."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.requests: list[Logged] = []
        self.failures: Counter[str] = Counter()
        self.told: list[dict[str, Any]] = []  # of each call the usage it was told, in the words of its API
        self.closing = threading.Event()
        self._gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._http = _Http((host, port), _Handler)
        self._http.owner = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://{host}:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for gate in self._gates.values():
            gate.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def gate(self, name: str) -> threading.Event:
        return self._gates[name]

    def open(self, name: str) -> None:
        """Let the `[[gate:NAME]]` go on, now and later."""
        self._gates[name].set()

    @property
    def calls(self) -> list[Logged]:
        """The calls of the model, without counting of tokens and probes."""
        return [logged for logged in self.requests if logged.path.partition("?")[0] in PROTOCOLS]


def usage_in(part: dict[str, Any]) -> dict[str, Any]:
    """Return the usage that one event of a stream tells."""
    holder = part.get("message") or part.get("response") or part
    return dict(holder.get("usage") or {})


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: ModelServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is daily bread here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base class
        """Keep the terminal quiet."""

    def do_GET(self) -> None:
        self._log({})
        self._json(200, {"data": []})

    def do_HEAD(self) -> None:
        self._log({})
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        self._log(body)
        path = self.path.partition("?")[0]
        if path in PROTOCOLS:
            self._answer(PROTOCOLS[path], body)
        elif path == "/v1/messages/count_tokens":
            self._json(200, {"input_tokens": anthropic.USAGE["input_tokens"]})
        else:
            self._json(404, anthropic.error_body(404, path))

    def _log(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.owner.requests.append(Logged(self.command, self.path, headers, body))

    def _answer(self, protocol: Any, body: dict[str, Any]) -> None:
        model = str(body.get("model"))
        if model == MISSING_MODEL:
            self._json(404, protocol.error_body(404, model))
            return
        history = protocol.history_of(body)
        failures = self.server.owner.failures
        answer = next_answer(history, lambda it: it.times is not None and failures[it.key] >= it.times)
        if isinstance(answer, Failing):
            failures[answer.key] += 1
            self._fail(answer, protocol.error_body(answer.status, model))
        elif body.get("stream"):
            self._stream(protocol.stream(body, answer))
        else:
            whole = protocol.whole(body, answer)
            self.server.owner.told.append(dict(whole["usage"]))
            self._json(200, whole)

    def _fail(self, failing: Failing, body: dict[str, Any]) -> None:
        if failing.status == 200:
            self._begin_stream()
        elif failing.status:
            self._json(failing.status, body)
        else:
            self.server.owner.closing.wait()
            self.close_connection = True

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def _stream(self, parts: Iterator[Any]) -> None:
        self._begin_stream()
        told: dict[str, Any] = {}
        self.server.owner.told.append(told)
        for part in parts:
            if isinstance(part, tuple):
                if not self._wait(*part):
                    return
                continue
            told |= usage_in(part)
            named = f"event: {part['type']}\n" if "type" in part else ""
            self.wfile.write(f"{named}data: {json.dumps(part)}\n\n".encode())
            self.wfile.flush()
        if "type" not in part:
            self.wfile.write(b"data: [DONE]\n\n")  # how Chat Completions says that nothing follows

    def _wait(self, text: Text, piece: int) -> bool:
        """Pause before a piece of a text; False where the stream ends here."""
        last = piece == len(text.pieces) - 1
        if text.cut and last:
            return False
        if text.gate and last:
            self.server.owner.gate(text.gate).wait()
        elif text.pause_seconds:
            self.server.owner.closing.wait(text.pause_seconds)
        return not self.server.owner.closing.is_set() or not text.gate

    def _json(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        if status >= 400:
            self.send_header("retry-after-ms", RETRY_AFTER_MS)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
