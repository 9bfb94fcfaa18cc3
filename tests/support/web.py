"""The web tier for tests: in process over Flask's client, or as gunicorn runs it, for streams and sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import config
from app.config import Settings
from app.container import Container, build
from tests.factories import SilentBell
from tests.support import processes
from tests.support.waiting import eventually
from web import create_app

HOST = "127.0.0.1:8000"


@dataclass
class Web:
    """The application with its parts and a client that sends an Idempotency-Key with each POST."""

    app: Flask
    container: Container
    bell: SilentBell

    def client(self) -> FlaskClient:
        return self.app.test_client(use_cookies=False)

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        sent = {"Host": HOST, **(headers or {})}
        if method == "POST":
            sent.setdefault("Idempotency-Key", uuid.uuid4().hex)
        if sent.get("Idempotency-Key") == "":
            del sent["Idempotency-Key"]
        return self.client().open(path, method=method, headers=sent, **options)

    def get(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        return self.send("GET", path, headers, **options)

    def post(self, path: str, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        return self.send("POST", path, headers, **options)


def settings_of(folder: Path, database_url: str, redis_url: str, **overrides: Any) -> Settings:
    """Settings that nothing of the machine's environment leaks into."""
    given: dict[str, Any] = {
        "var": folder,
        "database_url": database_url,
        "redis_url": redis_url,
        "anthropic_api_key": "",
        "default_provider": "scripted",
        "log_level": "CRITICAL",
    }
    return config.load(_env_file=None, **{**given, **overrides})


def make(settings: Settings, **overrides: Any) -> Web:
    bell = SilentBell()
    container = build(settings, **{"bell": bell, **overrides})
    return Web(create_app(container), container, bell)


@dataclass(frozen=True)
class Server:
    """A running gunicorn."""

    url: str
    pid: int
    log: Path


@contextlib.contextmanager
def serving(
    settings: Settings,
    *,
    processes_count: int = 1,
    wsgi: str = "web.wsgi:app",
    folder: Path | None = None,
    **environment: str,
) -> Iterator[Server]:
    """Serve the web tier by gunicorn, as the Procfile does; the code is what lies in `folder`."""
    port = free_port()
    names = {
        "PADDOCK_VAR": str(settings.var),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PADDOCK_PORT": str(port),
        "PADDOCK_WEB_PROCESSES": str(processes_count),
        "PADDOCK_DEFAULT_PROVIDER": "scripted",
        "PADDOCK_HEARTBEAT_SECONDS": str(settings.heartbeat_seconds),
        "PADDOCK_MAX_BODY_BYTES": str(settings.max_body_bytes),
        **environment,
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    log = settings.root / "web.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "gunicorn", "-c", "web/gunicorn.conf.py", wsgi]
    with processes.running(argv, env={**kept, **names}, cwd=folder, log=log) as process:
        url = f"http://127.0.0.1:{port}"
        eventually(
            lambda: httpx.get(f"{url}/ready", trust_env=False).status_code == 200,
            what="web",
            ignore=(httpx.TransportError,),
        )
        yield Server(url, process.pid, log)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
