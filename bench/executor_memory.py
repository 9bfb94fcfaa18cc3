"""What a sandbox at rest costs: the executor of a session and all that belongs to it."""

from __future__ import annotations

import json

from bench.figures import Spread
from bench.house import House, house
from bench.processes import Memory, family, memory_of
from bench.table import Table

SESSIONS = 6


def measure() -> list[Table]:
    table = Table("memory of a sandbox, per session, after a run")
    with house() as installation:
        sessions = [installation.warm_session() for _ in range(SESSIONS)]
        executors = [memory_of([_told(installation, session)["executor_pid"]]) for session in sessions]
        wholes = [memory_of(family(_told(installation, session)["pid"])) for session in sessions]
        workers = [memory_of([mark.pid]) for name, mark in installation.stack.processes().items() if "worker" in name]
        webs = [memory_of([pid]) for pid in installation.web_pids()]
    table.add("executor", _figures(executors))
    table.add("executor and bubblewrap", _figures(wholes))
    table.add("for comparison: a worker process (8 runs at once)", _figures(workers))
    table.add("for comparison: a web process", _figures(webs))
    table.notes = ("unique: USS, what ending it would give back. resident: RSS, which counts shared pages fully.",)
    return [table]


def _told(installation: House, session: str) -> dict[str, int]:
    path = installation.container.settings.root / "sandboxes" / session / "sandbox.json"
    found: dict[str, int] = json.loads(path.read_bytes())
    return found


def _figures(samples: list[Memory]) -> dict[str, float]:
    unique, resident = (Spread.of(getattr(each, name) for each in samples) for name in ("unique", "resident"))
    return {"n": len(samples), "unique MB": unique.p50 / 2**20, "resident MB": resident.p50 / 2**20}
