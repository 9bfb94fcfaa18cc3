"""The external executor host: the sandboxes of all sessions on another machine, behind one address and one token (EXECUTOR_BASE_URL).

    EXECUTOR_AUTH_TOKEN=… python -m workers.executor_host --listen 0.0.0.0:8090 --folder /srv/paddock

It starts an executor per session, as a worker does on its own machine, and hands calls on to it. Needs neither SQL nor Redis nor the
object store. The addresses are listed in `executor.protocol`. TLS is for whatever stands in front of it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from _operator import _compare_digest as same_secret
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import config, log
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.log import logger
from app.ports import EVERY_GENERATION, ExecutorError, SandboxSpec
from executor import http1, protocol
from executor.forward import forward
from executor.http1 import Request, Response, json_response
from executor.refusal import Refused

_HOST = "/sandboxes"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


class ExecutorHost:
    """Answers requests; `LocalSandboxes` does the work."""

    def __init__(self, sandboxes: LocalSandboxes, token: str) -> None:
        if not token:
            raise ValueError("EXECUTOR_AUTH_TOKEN is needed: whoever reaches this host runs commands on it")
        self._sandboxes, self._token = sandboxes, token

    def handle(self, request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and same_secret(given.encode(), self._token.encode())
        if request.method == "GET" and request.path == "/health":
            return json_response({"protocol": protocol.PROTOCOL, "status": "ok", "host": known})
        if not known:
            raise Refused(401, "unauthenticated", "the host's bearer token is required")
        if request.path == _HOST and request.method == "GET":
            return json_response({"running": self._sandboxes.list_running()})
        _, _, rest = request.path.partition(_HOST + "/")
        name, _, path = rest.partition("/")
        if not request.path.startswith(_HOST + "/") or not _NAME.match(name):
            raise Refused(404, "no_such_route", f"{request.method} {request.path}")
        try:
            return self._executor(request, name) if path.startswith("executor/") else self._sandbox(request, name, path)
        except ExecutorError as error:
            raise Refused(error.status or 502, error.code or "executor_unreachable", error.message) from error
        except ValueError as error:
            raise Refused(422, "invalid", str(error)) from error

    def _sandbox(self, request: Request, name: str, act: str) -> Response:
        acts: dict[tuple[str, str], Callable[[], dict[str, Any] | None]] = {
            ("GET", ""): lambda: self._look(name),
            ("PUT", ""): lambda: self._start(request, name),
            ("POST", "stop"): lambda: self._sandboxes.stop(name, _up_to(request)),
            ("DELETE", ""): lambda: self._sandboxes.remove(name, _up_to(request)),
        }
        found = acts.get((request.method, act))
        if found is None:
            raise Refused(404, "no_such_route", f"{request.method} {request.path}")
        return json_response(found() or {})

    def _look(self, name: str) -> dict[str, Any]:
        reach = self._sandboxes.reach(name)
        return {"exists": self._sandboxes.exists(name), "generation": reach.generation if reach else None}

    def _start(self, request: Request, name: str) -> dict[str, Any]:
        asked = request.json()
        here = {inside: path for inside, path in dict(asked.get("mounts") or {}).items() if Path(path).exists()}
        self._sandboxes.start(SandboxSpec(name, int(asked["generation"]), here, dict(asked.get("labels") or {})))
        logger.info("sandbox started", session_id=name, generation=asked["generation"])
        return self._look(name)

    def _executor(self, request: Request, name: str) -> Response:
        reach = self._sandboxes.reach(name)
        if reach is None:
            raise Refused(502, "executor_unreachable", "no executor runs for this sandbox")
        target = request.target.partition("/executor")[2]
        return forward(request, f"unix:{reach.socket}", target, {"authorization": f"Bearer {reach.token}"})


def _up_to(request: Request) -> int:
    """Return the last generation that is meant; workers of the release before this one do not say it and mean whatever is there."""
    return int(request.query.get("generation", EVERY_GENERATION))


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m workers.executor_host", description="Serve the sandboxes of all sessions."
    )
    parser.add_argument("--listen", default="127.0.0.1:8090", help="host:port (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the sandboxes are (default: PADDOCK_VAR/sandboxes)"
    )
    options = parser.parse_args(argv)
    settings = config.load()
    log.configure("executor-host", level=settings.log_level, as_json=settings.log_json)
    if settings.only_peer is not None:
        sys.exit(
            "PADDOCK_SANDBOX_NETWORK is for sandboxes of a whole installation: an executor host cannot fence them."
        )
    folder: Path = options.folder or settings.root / "sandboxes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = LocalSandboxSettings(folder, bubblewrap=settings.bubblewrap, orphan_seconds=settings.orphan_seconds)
    try:
        host = ExecutorHost(LocalSandboxes(made), settings.executor_auth_token)
    except ValueError as error:
        sys.exit(f"{error}.")
    server = http1.listen(f"tcp:{options.listen}")
    logger.info("executor host listens", address=options.listen, folder=str(folder), pid=os.getpid())
    http1.serve(server, host.handle)


if __name__ == "__main__":
    main(sys.argv[1:])
