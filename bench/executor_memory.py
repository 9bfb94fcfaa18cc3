"""What a sandbox costs beside its agent: at rest, and with each real agent at work; the executor and all else that is ours."""

from __future__ import annotations

import json

from bench.figures import Spread, rounds
from bench.house import House, house, real_house
from bench.processes import Memory, family, memory_of, words
from bench.table import Bar, Table
from tests.contract.providers.subjects import SUBJECTS, Subject
from tests.support.waiting import eventually

SESSIONS = rounds(6)
MOST_MB = 60.0
MEGABYTE = 2**20


def measure() -> list[Table]:
    return [_at_rest(), _at_work()]


def _at_rest() -> Table:
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
    table.notes = (
        "unique: USS, what ending it would give back. own part: PSS. resident: RSS, which counts shared pages fully.",
    )
    return table


def _at_work() -> Table:
    """Each agent is held in mid answer; what is not ours is the agent and what it started."""
    table = Table("memory beside an agent at work, per session")
    with real_house() as (installation, model):
        for subject in SUBJECTS.values():
            ours, theirs = [], []
            for number in range(SESSIONS):
                pids, agent = _held(installation, subject, f"{subject.kind}-{number}")
                ours.append(memory_of(pids))
                theirs.append(memory_of(agent))
                model.open(f"{subject.kind}-{number}")
            most = Spread.of(each.proportional for each in ours).p50 / MEGABYTE
            table.add(subject.kind, _figures(ours), bar=Bar(f"own part <= {MOST_MB:g} MB", most, MOST_MB))
            table.add("   the agent itself", _figures(theirs))
    table.notes = ("Ours: executor, both bubblewraps, the bridge of opencode, the start of acp.",)
    return table


def _held(installation: House, subject: Subject, gate: str) -> tuple[list[int], list[int]]:
    """Start a run that waits in mid answer for `gate`; return our processes of its sandbox, and the agent's."""
    run_id = installation.enqueue(f"[[gate:{gate}]]", provider=subject.kind, model=subject.model)
    events = f"/api/runs/{run_id}/events"

    def speaks() -> str | None:
        items = installation.http.get(events, params={"limit": 500}).json()["items"]
        return next((item["sessionId"] for item in items if item["type"] == "message.delta"), None)

    session = eventually(speaks, 60, what=f"{subject.kind} to speak")
    everything = family(_told(installation, session)["pid"])
    ours = [pid for pid in everything if _is_ours(pid)]
    return ours, [pid for pid in everything if pid not in ours]


def _is_ours(pid: int) -> bool:
    argv = words(pid)
    return argv[0].rpartition("/")[2] == "bwrap" or any(word.startswith("/opt/paddock/executor/") for word in argv[1:6])


def _told(installation: House, session: str) -> dict[str, int]:
    path = installation.container.settings.root / "sandboxes" / session / "sandbox.json"
    found: dict[str, int] = json.loads(path.read_bytes())
    return found


def _figures(samples: list[Memory]) -> dict[str, float]:
    columns = {"unique MB": "unique", "own part MB": "proportional", "resident MB": "resident"}
    spreads = {column: Spread.of(getattr(each, name) for each in samples) for column, name in columns.items()}
    return {"n": len(samples), **{column: spread.p50 / MEGABYTE for column, spread in spreads.items()}}
