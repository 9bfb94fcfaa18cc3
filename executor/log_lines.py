"""The executor's own log: JSON lines on stderr, in the form of Paddock's other logs. Ids come from the trace headers of calls.

Never bodies, paths of files, or what agents say: the journal has that. The file is emptied when it has grown to LOG_BYTES.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping

from executor.http1 import Request, Response
from executor.refusal import Refused

LOG_BYTES = 4 * 1024 * 1024
_STDERR = 2
_HEADERS = {
    "x-trace-id": "traceId",
    "x-session-id": "sessionId",
    "x-run-id": "runId",
    "x-executor-id": "executorId",
    "x-operation": "operation",
}
_LONGEST_LABEL = 128

Handler = Callable[[Request], Response]


class ExecutorLog:
    """Safe for many threads. What cannot be written is lost: agents go on."""

    def __init__(self, executor_id: str) -> None:
        self._own = {"traceId": None, "sessionId": None, "runId": None, "executorId": executor_id}
        self._lock = threading.Lock()

    def write(self, level: str, message: str, **facts: object) -> None:
        moment = time.time()
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{int(moment * 1000) % 1000:03d}Z"
        line = {"ts": at, "level": level, "message": message, "component": "executor", **self._own, **facts}
        with self._lock:
            try:
                if os.fstat(_STDERR).st_size > LOG_BYTES:
                    os.ftruncate(_STDERR, 0)
                    os.lseek(_STDERR, 0, os.SEEK_SET)
                os.write(_STDERR, json.dumps(line).encode() + b"\n")
            except OSError:
                return

    def around(self, handle: Handler) -> Handler:
        """Return the handler with a line for each call that has an effect, and for each that fails."""

        def serve(request: Request) -> Response:
            begun, status = time.monotonic(), 500
            try:
                response = handle(request)
                status = response.status
            except Refused as refused:
                status = refused.status
                raise
            finally:
                if request.method != "GET" or status >= 500:
                    self._tell(request, status, time.monotonic() - begun)
            return response

        return serve

    def _tell(self, request: Request, status: int, seconds: float) -> None:
        labels = {} if status == 401 else labels_of(request.headers)  # a stranger's labels are no labels
        facts = {"method": request.method, "path": request.path[:_LONGEST_LABEL], "status": status}
        level = "warning" if status >= 500 else "info"
        self.write(level, "call served", **labels, **facts, milliseconds=round(seconds * 1000, 1))


def labels_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a caller's trace headers say, by the names of log lines."""
    named = {label: headers.get(name, "") for name, label in _HEADERS.items()}
    return {label: value[:_LONGEST_LABEL] for label, value in named.items() if value not in ("", "-")}
