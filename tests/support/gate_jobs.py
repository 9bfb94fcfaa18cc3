"""Operations on session workers in processes of their own, so that a test can kill them or let them sleep: start, sync, stop, remove.

The processes are forked from one that has loaded everything, which makes hundreds of them cheap. Each writes down every removal
before it happens, with what the row said at that moment.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from app.adapters.folder_object_store import FolderObjectStore
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.adapters.minio_object_store import MinioObjectStore, S3Settings
from app.config import Settings
from app.errors import AppError, LeaseLost
from app.models import ChatSession
from app.ports import Bell, ExecutorError, ObjectStore
from app.services import worker_rows
from app.services.session_workers import SessionWorkers
from app.services.snapshots import Snapshots
from executor import processes
from tests.support.workspace_house import CountingBell, bound

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "tests.support.gate_warm", "app.adapters.httpx_executor", "psycopg2", "pytest"])


Act = Literal["stop", "remove"]


@dataclass(frozen=True)
class Place:
    """Where everything is; a job finds its way by this alone. `sleeps_before` names the call to a sandbox before which the job's
    process stops itself (SIGSTOP)."""

    var: Path
    database_url: str
    s3: dict[str, Any] = field(default_factory=dict)
    sleeps_before: Act | None = None

    @property
    def settings(self) -> Settings:
        return Settings(var=self.var, _env_file=None)

    @property
    def removals(self) -> Path:
        return self.var / "removals.jsonl"

    def store(self) -> ObjectStore:
        if not self.s3:
            return FolderObjectStore(self.var / "objects")
        told = {name.removeprefix("s3_"): value for name, value in self.s3.items()}
        return MinioObjectStore(S3Settings(**told))

    def workers(self, bell: Bell | None = None) -> SessionWorkers:
        sandboxes = _Watched(self)
        return SessionWorkers(self.settings, sandboxes, Snapshots(self.store()), bell or CountingBell(), {})


@dataclass(frozen=True)
class Outcome:
    """How a job ended: `ok` with its answer, or `code` of what was refused; both are empty where its process was killed."""

    ok: bool = False
    code: str = ""
    answer: dict[str, Any] = field(default_factory=dict)


class Job:
    """One operation in its own process."""

    def __init__(self, place: Place, name: str, session_id: str) -> None:
        self._answers, theirs = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(target=_work, args=(place, name, session_id, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    @property
    def sleeps(self) -> bool:
        found = processes.look(self._process.pid or 0)
        return found is not None and found.state == "T"

    def wake(self) -> None:
        os.kill(self._process.pid or 0, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()

    def outcome(self, seconds: float = 60) -> Outcome:
        """Wait for its end."""
        said: dict[str, Any] = {}
        with suppress(EOFError):
            if self._answers.poll(seconds):
                said = self._answers.recv()
        self._process.join(seconds)
        assert not self.runs, "the operation did not come to an end"
        self._answers.close()
        self._process.close()
        return Outcome(**said)


class _Watched(LocalSandboxes):
    """Local sandboxes that tell what the row said when one is removed."""

    def __init__(self, place: Place) -> None:
        super().__init__(LocalSandboxSettings(place.var / "sandboxes"))
        self._removals, self._sleeps_before = place.removals, place.sleeps_before

    def stop(self, name: str, generation: int) -> None:
        self._sleep("stop")
        super().stop(name, generation)

    def _sleep(self, act: Act) -> None:
        if act == self._sleeps_before:
            os.kill(os.getpid(), signal.SIGSTOP)

    def remove(self, name: str, generation: int) -> None:
        row = worker_rows.get(name)
        said = {"status": row.status, "receipt": row.receipt, "generation": row.generation}
        line = {"session": name, "snapshotId": row.snapshot_id, "ran": row.started_at is not None, **said}
        with self._removals.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._sleep("remove")
        super().remove(name, generation)


def _work(place: Place, name: str, session_id: str, answers: Connection) -> None:
    os.setpgrp()
    with bound(place.database_url):
        said = _outcome(_JOBS[name], place.workers(), session_id)
        answers.send(asdict(said))
    answers.close()
    os._exit(0)  # no thread of a lease or a connection keeps it


def _outcome(job: Callable[[SessionWorkers, str], dict[str, Any]], workers: SessionWorkers, session_id: str) -> Outcome:
    try:
        return Outcome(ok=True, answer=job(workers, session_id))
    except (AppError, LeaseLost) as error:
        return Outcome(code=getattr(error, "code", "lease_lost"), answer={"why": str(error)})
    except (ExecutorError, OSError) as error:
        return Outcome(code="sandbox_lost", answer={"why": str(error)})


def _start(workers: SessionWorkers, session_id: str) -> dict[str, Any]:
    ready = workers.ensure_running(ChatSession.get_by_id(session_id), labels={})
    return {"restored": ready.restored}


def _sync(workers: SessionWorkers, session_id: str) -> dict[str, Any]:
    return {"snapshotId": workers.sync(session_id, "message.stop").snapshot_id}


def _stop(workers: SessionWorkers, session_id: str) -> dict[str, Any]:
    return {"snapshotId": workers.stop(session_id)["snapshotId"]}


def _remove(workers: SessionWorkers, session_id: str) -> dict[str, Any]:
    receipt = workers.stop(session_id)
    workers.remove(session_id)
    return {"snapshotId": receipt["snapshotId"]}


_JOBS = {"start": _start, "sync": _sync, "stop": _stop, "remove": _remove}
