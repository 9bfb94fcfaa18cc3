"""A model that streams tokens at a pace, each telling when it was sent (CLOCK_MONOTONIC, ns): for what lies between it and a client."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE}


class TokenServer(ThreadingHTTPServer):
    """`tokens` are sent `pause_seconds` apart; where it is `held`, a stream waits after its first token until `go` is set."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.tokens, self.pause_seconds, self.held = 100, 0.005, False
        self.go = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TokenServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the signature of the base class
        """Keep the terminal quiet."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._event("message_start", message=MESSAGE)
        for number in range(self.server.tokens):
            delta = {"type": "text_delta", "text": f"{time.monotonic_ns()} "}
            self._event("content_block_delta", index=0, delta=delta)
            if self.server.held and number == 0:
                self.server.go.wait()
            time.sleep(self.server.pause_seconds)
        self._event("message_delta", delta={"stop_reason": "end_turn"}, usage=USAGE)
        self._event("message_stop")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, kind: str, **fields: Any) -> None:
        data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextmanager
def token_server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()
