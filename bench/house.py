"""A whole installation to be measured, from outside (HTTP as its owner) and from inside (its database, Redis and sandboxes)."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from app import db
from app.config import Settings
from app.container import Container, build
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.models import AgentRun, User
from app.services import run_creation
from app.services.event_log import RunLog
from app.services.run_creation import NewRun, NewSession
from bench.processes import children
from tests.contract.providers.subjects import SUBJECTS
from tests.support.model_server import ModelServer
from tests.support.stack import Stack, stack
from tests.support.waiting import eventually

HELD_SECONDS = 3600.0
PATIENCE_SECONDS = 120.0


class _NoBell:
    """Rings nowhere: runs of a benchmark are not for the workers."""

    def ring_runs(self) -> None: ...

    def ring_session_worker(self, session_id: str) -> None: ...

    def ring_command(self, run_id: str) -> None: ...


@dataclass(frozen=True)
class House:
    """`stack` is the running installation, `container` the same parts as its workers have, in this process."""

    stack: Stack
    container: Container
    http: httpx.Client

    @property
    def redis_socket(self) -> str:
        return str(self.container.settings.redis_socket)

    def web_pids(self) -> list[int]:
        """Return the processes that serve requests (not their master)."""
        return children(self.stack.processes()["web"].pid)

    # --- from outside ------------------------------------------------------------------------------------------------------

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.http.post(path, json=dict(body), headers={"Idempotency-Key": uuid.uuid4().hex})
        answer.raise_for_status()
        shown: dict[str, Any] = answer.json()
        return shown

    def enqueue(self, prompt: str, session_id: str | None = None, **more: Any) -> str:
        """Send a message and return the run's id at once."""
        body = {"prompt": prompt, "provider": "scripted", **({"sessionId": session_id} if session_id else {}), **more}
        run_id: str = self.post("/api/runs/queue/enqueue", body)["runId"]
        return run_id

    def warm_session(self, prompt: str = "hello", **more: Any) -> str:
        """Return a session whose sandbox runs: one run of it has ended."""
        return str(self.finished(self.enqueue(prompt, **more)).session_id)

    # --- from inside -------------------------------------------------------------------------------------------------------

    def finished(self, run_id: str) -> AgentRun:
        """Wait for a run's end; anything but success is an error of the benchmark."""

        def look() -> AgentRun | None:
            return AgentRun.get_or_none(AgentRun.id == run_id, AgentRun.finished_at.is_null(False))

        run = eventually(look, PATIENCE_SECONDS, what=f"{run_id} to end")
        if run.status != RunStatus.SUCCEEDED:
            raise RuntimeError(f"{run_id} {run.status}: {run.failure_message}")
        return run

    def held_log(self) -> tuple[str, RunLog]:
        """Make a run that this process drives, in a session of its own; return its id and its log."""
        user = User.select().order_by(User.created_at).get()

        def take(run_id: str) -> None:
            held = {"status": RunStatus.RUNNING, "epoch": 1, "lease_owner": "bench", "attempt": 1}
            until = {"lease_until": db.now() + HELD_SECONDS, "started_at": db.now()}
            AgentRun.update({**held, **until}).where(AgentRun.id == run_id).execute()

        new = NewRun(user.tenant_id, user.id, NewSession(), "scripted", "bench", in_transaction=take)
        run = AgentRun.get_by_id(run_creation.create(new, _NoBell()).id)
        return run.id, RunLog.open(run, Lease(run.id, 1, "bench", HELD_SECONDS), self.container.stream)


@contextlib.contextmanager
def house(env: Mapping[str, str] | None = None) -> Iterator[House]:
    """Start an installation of its own, as `make up` does; it is gone afterwards."""
    with stack(env) as running:
        settings = Settings(var=running.var, log_level="WARNING", _env_file=None)  # type: ignore[call-arg]
        container = build(settings)
        with running.client() as http:
            yield House(running, container, http)
        container.database.close()


def now() -> float:
    """The clock of claims, events and journals: POSIX seconds."""
    return time.time()


@contextlib.contextmanager
def real_house() -> Iterator[tuple[House, ModelServer]]:
    """An installation whose real agents talk to a scripted model, through the model proxy."""
    with ModelServer() as model:
        env: dict[str, str] = {}
        for subject in SUBJECTS.values():
            env |= subject.settings(model.url)
        with house(env) as installation:
            yield installation, model
