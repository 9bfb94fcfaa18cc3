"""The bridge's two sides: OpenCode's server over HTTP, with server-sent events and reconnecting, and lines on stdin and stdout. What the
lines are is said in `opencode_bridge`, which has started the server; nothing here knows the meaning of what it carries.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import sys
import threading
from typing import Any

Line = dict[str, Any]

LISTENING = re.compile(rb"listening on http://127\.0\.0\.1:(\d+)")
ANSWER_SECONDS = 60.0
EVENT_SILENCE_SECONDS = 60.0
"""Longest silence of the event stream; the server beats every 10 s."""
RECONNECT_SECONDS = 0.2
PATIENCE_SECONDS = 1.0
UNTOLD = ("server.heartbeat", "file.watcher.updated", "lsp.updated", "lsp.client.diagnostics", "plugin.added")
"""Events that no one needs."""


class Bridge:
    """One server and its client."""

    def __init__(self, pid: int, output: int, password: str) -> None:
        """`output` is what the server prints."""
        self._pid, self._output = pid, output
        self._headers = {
            "Authorization": "Basic " + base64.b64encode(f"opencode:{password}".encode()).decode(),
            "Content-Type": "application/json",
        }
        self._writing = threading.Lock()
        self._port = 0
        self._listens = threading.Event()
        self._ended = threading.Event()

    def run(self) -> int:
        """Serve until the server ends or nobody speaks to us any more; returns the server's exit code."""
        signal.signal(signal.SIGTERM, lambda *_: self._end())
        for target in (self._watch_output, self._follow_events, self._take_requests):
            threading.Thread(target=target, daemon=True).start()
        _, status = os.waitpid(self._pid, 0)
        self._ended.set()
        self._writing.acquire(timeout=PATIENCE_SECONDS)  # for good: no line is cut by our end
        return os.waitstatus_to_exitcode(status)

    def _end(self) -> None:
        """End the server; one that is waiting to try a call again does not listen, and is killed."""
        self._signal(signal.SIGTERM)
        killer = threading.Timer(PATIENCE_SECONDS, self._signal, (signal.SIGKILL,))
        killer.daemon = True
        killer.start()

    def _signal(self, number: int) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _watch_output(self) -> None:
        """Find out where the server listens; a request before that would never be answered. What it prints goes to stderr."""
        with open(self._output, "rb") as printed:
            for line in printed:
                found = LISTENING.search(line)
                if found:
                    self._port = int(found[1])
                    self._listens.set()
                sys.stderr.buffer.write(line)
                sys.stderr.flush()

    def _take_requests(self) -> None:
        for line in sys.stdin.buffer:
            try:
                request = json.loads(line)
                self._listens.wait()
                self._tell(self._answer(request))
            except (ValueError, KeyError, TypeError):
                sys.stderr.write("a line was not understood\n")
        self._end()

    def _answer(self, request: Line) -> Line:
        body = json.dumps(request["body"]).encode() if "body" in request else b""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request(request["method"], request["path"], body, self._headers)
            response = connection.getresponse()
            told = response.read()
            return {"type": "response", "id": request["id"], "status": response.status, "body": _parsed(told)}
        except (OSError, http.client.HTTPException) as error:
            return {"type": "response", "id": request["id"], "status": 0, "body": f"{type(error).__name__}: {error}"}
        finally:
            connection.close()

    def _follow_events(self) -> None:
        self._listens.wait()
        connected = False
        while not self._ended.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=EVENT_SILENCE_SECONDS)
            try:
                connection.request("GET", "/event", headers=self._headers)
                for event in _events(connection.getresponse()):
                    if event.get("type") == "server.connected":
                        self._tell({"type": "resync" if connected else "ready"})
                        connected = True
                    elif event.get("type") not in UNTOLD:
                        self._tell({"type": "event", "event": {"type": event.get("type"), **event}})
            except (OSError, http.client.HTTPException, ValueError) as error:
                sys.stderr.write(f"the events broke off: {error}\n")
            finally:
                connection.close()
            self._ended.wait(RECONNECT_SECONDS)

    def _tell(self, line: Line) -> None:
        data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        with self._writing:
            sys.stdout.buffer.write(data + b"\n")
            sys.stdout.buffer.flush()


def _events(response: http.client.HTTPResponse) -> Any:
    """Yield the events of a stream; one is one `data:` line."""
    while line := response.readline():
        if line.startswith(b"data:"):
            yield json.loads(line[5:])


def refuse(planted: list[str]) -> int:
    """Say what is in the way of a start; returns the exit code."""
    print(json.dumps({"type": "refused", "paths": planted}), flush=True)
    return 1


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")
