"""The model proxy as its own process, before a scripted model server or any other upstream, with runs that are going on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from app import db
from app.config import Settings
from app.domain.run_state import RunStatus
from app.models import AgentRun, ModelCall
from app.services import model_tokens
from tests import factories
from tests.cast import Person
from tests.support import processes
from tests.support.waiting import eventually
from tests.support.web import free_port

ROOT = Path(__file__).resolve().parents[2]
ANTHROPIC_KEY, OPENAI_KEY = "sk-anthropic-0123456789", "sk-openai-0123456789"


@dataclass(frozen=True)
class Proxy:
    """A running proxy. `settings` are those of the installation that it belongs to."""

    url: str
    pid: int
    settings: Settings
    log: Path

    def token(self, run: AgentRun) -> str:
        return model_tokens.token_for(self.settings, run.id, run.attempt)

    def client(self, run: AgentRun) -> httpx.Client:
        """Return a client as the run's agent would be one, in the manner of Anthropic's API."""
        headers = {"x-api-key": self.token(run), "anthropic-version": "2023-06-01"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def openai(self, run: AgentRun) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token(run)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


@contextlib.contextmanager
def proxying(settings: Settings, upstream: str, **environment: str) -> Iterator[Proxy]:
    """Run the proxy as the Procfile does, in front of `upstream`."""
    port = free_port()
    names = {
        "PADDOCK_VAR": str(settings.var),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "PADDOCK_MODEL_PROXY_PORT": str(port),
        "ANTHROPIC_API_KEY": ANTHROPIC_KEY,
        "ANTHROPIC_BASE_URL": upstream,
        "OPENAI_API_KEY": OPENAI_KEY,
        "OPENAI_BASE_URL": f"{upstream}/v1",
        **environment,
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings.root.mkdir(parents=True, exist_ok=True)
    log = settings.root / "proxy.log"
    argv = [sys.executable, "-m", "gunicorn", "-c", "web/model_proxy/gunicorn.conf.py", "web.model_proxy.wsgi:app"]
    with processes.running(argv, env={**kept, **names}, cwd=ROOT, log=log) as process:
        url = f"http://127.0.0.1:{port}"
        eventually(
            lambda: httpx.get(f"{url}/health", trust_env=False).status_code == 200,
            what="the proxy",
            ignore=(httpx.TransportError,),
        )
        yield Proxy(url, process.pid, settings, log)


def going_run(owner: Person, **fields: Any) -> AgentRun:
    """A run whose first attempt is going on."""
    run = factories.run(owner, **fields)
    AgentRun.update(status=RunStatus.RUNNING, attempt=1).where(AgentRun.id == run.id).execute()
    return AgentRun.get_by_id(run.id)


def calls_of(run: AgentRun, count: int = 1) -> list[ModelCall]:
    """Return the rows of a run's calls when there are `count` of them and all have ended."""

    def ended() -> list[ModelCall]:
        with db.connection():
            rows = list(ModelCall.select().where(ModelCall.run_id == run.id).order_by(ModelCall.started_at))
        return rows if len(rows) == count and all(row.state != "open" for row in rows) else []

    return eventually(ended, what=f"{count} calls to end")
