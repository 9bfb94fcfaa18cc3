"""A reverse proxy in front of an executor (or of a host of executors) that fails on command: per path, so many times, with a status and
a body. The product has no such switch, so no agent and no user can turn one on; who runs the tests puts this in front.

    python -m tests.support.executor_faults --listen 127.0.0.1:9099 --to tcp:127.0.0.1:8090
    curl -X POST 127.0.0.1:9099/__faults -d '{"path": "/workspace/sync", "times": 2, "status": 500, "body": "injected"}'

`path` is the end of the request's path; `times` -1: until it is cleared (`DELETE /__faults`); `status` 0 breaks the connection.
`GET /__faults` tells what is left and how often each path was asked.
"""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from app.adapters.local_sandboxes import LocalSandboxes
from executor import http1
from executor.forward import forward
from executor.http1 import Request, Response, json_response

CONTROL = "/__faults"


@dataclass
class Fault:
    path: str
    times: int = 1
    status: int = 500
    body: str = "injected"


class FaultProxy:
    """Hands on what it is not told to fail."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self.faults: list[Fault] = []
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def fail(self, path: str, *, times: int = 1, status: int = 500, body: str = "injected") -> Fault:
        fault = Fault(path, times, status, body)
        with self._lock:
            self.faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self.faults.clear()

    def handle(self, request: Request) -> Response:
        if request.path == CONTROL:
            return self._control(request)
        fault = self._take(request.path)
        if fault is None:
            return forward(request, self._upstream, request.target, {})
        if fault.status == 0:
            raise ConnectionAbortedError  # answered with a broken connection
        return Response(fault.status, fault.body.encode(), {"content-type": "text/plain"})

    def _take(self, path: str) -> Fault | None:
        with self._lock:
            self.asked[path] += 1
            for fault in self.faults:
                if path.endswith(fault.path) and fault.times != 0:
                    fault.times -= 1 if fault.times > 0 else 0
                    return fault
        return None

    def _control(self, request: Request) -> Response:
        if request.method == "POST":
            self.fail(**request.json())
        elif request.method == "DELETE":
            self.clear()
        return json_response({"faults": [asdict(fault) for fault in self.faults], "asked": dict(self.asked)})


def serve(proxy: FaultProxy, listen: str) -> None:
    """Serve in a thread of its own for as long as the process lives."""
    server = http1.listen(listen)

    def answer(request: Request) -> Response:
        try:
            return proxy.handle(request)
        except ConnectionAbortedError:
            request.connection.shutdown(2)
            return Response(500)

    threading.Thread(target=http1.serve, args=(server, answer), name="executor-faults", daemon=True).start()


@contextmanager
def in_front_of(sandboxes: LocalSandboxes, name: str) -> Iterator[FaultProxy]:
    """Stand between everybody and the executor of a sandbox, as long as the block lasts."""
    socket = sandboxes._sandbox(name) / "run/executor.sock"
    _, client = sandboxes._clients.pop(name)
    client.close()  # its connections lead past the proxy
    behind = socket.with_name("behind.sock")
    socket.rename(behind)
    proxy = FaultProxy(f"unix:{behind}")
    serve(proxy, f"unix:{socket}")
    try:
        yield proxy
    finally:
        if behind.exists():
            behind.replace(socket)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.executor_faults")
    parser.add_argument("--listen", default="127.0.0.1:9099")
    parser.add_argument("--to", required=True, help="tcp:<host>:<port> or unix:<path>")
    options = parser.parse_args()
    http1.serve(http1.listen(f"tcp:{options.listen}"), FaultProxy(options.to).handle)


if __name__ == "__main__":
    main()
