"""A whole Paddock for end-to-end tests: its own PADDOCK_VAR, a free port, the real supervisor and processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from app import config, db
from app.container import Container, build
from cli.processes import ProcessMark
from cli.supervisor import Record
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (
    sys.executable,
    "-P",
    "-c",
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from cli.main import main; main()",
)

KEY = "sk-scripted-0123456789"
NOT_INHERITED = ("DATABASE_URL", "REDIS_URL", "S3_", "ANTHROPIC_", "PADDOCK_", "RUN_QUEUE_", "EXECUTOR_")


@dataclass
class Stack:
    """A running installation. Processes are named as in `make status`: web, worker-1, maintenance, scheduler, redis."""

    var: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.var / "owner-token").read_text(encoding="utf-8").strip()

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
        return {**kept, "PADDOCK_VAR": str(self.var), "PADDOCK_PORT": str(self.port), **self.env}

    def up(self) -> None:
        """Start it (again) and return when it is ready."""
        done = self.paddock("up", timeout=120)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.log('web')[-3000:]}"

    def down(self, *, agents: bool = False) -> None:
        done = self.paddock("down", *(["--agents"] if agents else []), timeout=120)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def paddock(
        self, *words: str, timeout: float = 90, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line client against this installation; never at a terminal."""
        return subprocess.run(
            [*COMMAND, *words],
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client as the owner."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, **options)

    def start(self, client: httpx.Client, prompt: str, **body: Any) -> str:
        """Start a run (of the scripted agent unless `provider` says otherwise) and return its id at once."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
        answer = client.post(
            "/api/runs/start", json={"provider": "scripted", "prompt": prompt, **body}, headers=headers
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["runId"])

    def processes(self) -> dict[str, ProcessMark]:
        """Return the processes that run now, by name."""
        return {name: mark for name, mark in Record(self.var / "run").children().items() if mark.is_alive}

    def supervisor(self) -> ProcessMark | None:
        return Record(self.var / "run").supervisor()

    def kill(self, name: str, number: int = signal.SIGKILL) -> ProcessMark:
        """Send a signal to one process as it runs now, and return which it was. The supervisor starts another."""
        mark = eventually(lambda: self.processes().get(name), what=f"{name} to run")
        os.kill(mark.pid, number)
        return mark

    def restart(self, name: str) -> None:
        """SIGKILL one process and wait until another has taken its place."""
        killed = self.kill(name)
        eventually(lambda: self.processes().get(name) not in (None, killed), what=f"{name} to be started again")

    def wait_until_ready(self, seconds: float = 60) -> None:
        eventually(self._ready, seconds, what="/ready", ignore=(httpx.HTTPError,))

    def log(self, name: str) -> str:
        path = self.var / "logs" / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Container]:
        """Its parts, for looking behind the curtain: SQL, Redis, sandboxes."""
        names = {"DATABASE_URL": "", "REDIS_URL": "", **self.env, "PADDOCK_VAR": str(self.var)}
        container = build(config.load(_env_file=None, **names))
        try:
            with db.connection():
                yield container
        finally:
            container.database.close()

    def _ready(self) -> bool:
        return httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).status_code == 200


def claude_code(model: ModelServer) -> dict[str, str]:
    """The environment in which Claude Code talks to a scripted model server."""
    return {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_MODEL": "claude-sonnet-4-5"}


def free_port() -> int:
    """Return a free port that no outgoing connection is ever given: a client that tries again and again to reach a port of that
    kind while nobody listens there comes to be connected with itself, and holds it."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def stack(env: Mapping[str, str] | None = None, prepare: Callable[[Stack], object] = lambda _: None) -> Iterator[Stack]:
    """Start an installation with `env` on top of the defaults, `prepare` called before; end it, its sandboxes and its files afterwards."""
    var = Path(tempfile.mkdtemp(prefix="pdk-", dir="/tmp"))
    started = Stack(var, free_port(), dict(env or {}))
    try:
        prepare(started)
        started.up()
        yield started
    finally:
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            started.down(agents=True)
        for mark in started.processes().values():  # only where `down` itself is broken
            mark.kill_group()
        shutil.rmtree(var, ignore_errors=True)


def envelopes(output: str) -> list[dict[str, Any]]:
    """Return what `paddock run --json` or `tail --json` printed."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
