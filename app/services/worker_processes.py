"""The worker processes as they tell of themselves, and draining one of them: it takes no run any more, hands back what it has, and
stays until it is told to go on or is ended. Rows here are what people and `waitingFor` look at; leases depend on none of this."""

from __future__ import annotations

import os
import socket
from typing import Any

from app import db
from app.errors import NotFound
from app.models import WorkerProcess

BEAT_SECONDS = 5.0
GONE_SECONDS = 20.0
"""A process that was not heard of for so long is taken to be gone."""
FORGET_SECONDS = 3600.0
_DRAINING = ("draining", "drained")


def register(name: str, kind: str) -> None:
    """Write a process down that is ready to work."""
    now = db.now()
    row = {"kind": kind, "host": socket.gethostname(), "pid": os.getpid(), "state": "ready", "running": 0}
    times = {"started_at": now, "seen_at": now}
    with db.transaction():
        WorkerProcess.insert(name=name, **row, **times).on_conflict_ignore().execute()


def beat(name: str, running: int) -> bool:
    """Say that the process lives and how much it has in hand; False where it was forgotten meanwhile."""
    query = WorkerProcess.update(seen_at=db.clock(), running=running).where(WorkerProcess.name == name)
    return bool(query.execute() == 1)


def state_of(name: str) -> str | None:
    row = WorkerProcess.get_or_none(WorkerProcess.name == name)
    return None if row is None else str(row.state)


def forget(name: str) -> None:
    """The process ends."""
    db.delete_rows(WorkerProcess, WorkerProcess.name == name)


def forget_gone() -> int:
    """Delete what was not heard of for long; return how many."""
    return db.delete_rows(WorkerProcess, WorkerProcess.seen_at < db.clock() - FORGET_SECONDS)


def list_living() -> list[WorkerProcess]:
    query = WorkerProcess.select().where(_lives())
    return list(query.order_by(WorkerProcess.host, WorkerProcess.kind, WorkerProcess.pid))


def any_takes_runs() -> bool:
    """True where some process drives runs and is not drained."""
    takes = (WorkerProcess.kind == "runs") & (WorkerProcess.state == "ready")
    return bool(WorkerProcess.select().where(_lives(), takes).exists())


def find(name: str) -> list[WorkerProcess]:
    """Return the living processes of this name, or all of the host of this name. Raises NotFound where there is none."""
    found = [each for each in list_living() if name in (each.name, each.host)]
    if not found:
        raise NotFound("worker process")
    return found


# --- draining, ready -> draining -> drained -> ready ---------------------------------------------------------------------


def drain(names: list[str]) -> None:
    """Ask processes to hand back what they have and take nothing."""
    _move(names, "draining", ("ready",))


def mark_drained(name: str) -> bool:
    """The process has nothing in hand; False where it was told to go on meanwhile."""
    return _move([name], "drained", ("draining",)) == 1


def undrain(names: list[str]) -> None:
    """Let processes work again."""
    _move(names, "ready", _DRAINING)


def _move(names: list[str], state: str, sources: tuple[str, ...]) -> int:
    query = WorkerProcess.update(state=state).where(WorkerProcess.name.in_(names), WorkerProcess.state.in_(sources))
    return int(query.execute())


def _lives() -> Any:
    return WorkerProcess.seen_at > db.clock() - GONE_SECONDS
