"""What one installation leaves on this machine: the journals of its agents and the processes of its sandboxes. It only reads, and
asks no executor that is dead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.container import Container
from app.domain.journal import Record, agent_id
from app.models import AgentRun
from executor import processes


@dataclass(frozen=True, slots=True)
class Leftover:
    """A process of a sandbox that ought not to be there."""

    session_id: str
    pid: int
    command: str


def sandbox_record(container: Container, session_id: str) -> Mapping[str, Any]:
    """Return what `sandbox.json` says; empty where no sandbox of the session was left running."""
    try:
        text = (_folder(container) / session_id / "sandbox.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found: Mapping[str, Any] = json.loads(text)
    return found


def executors(container: Container, run_ids: list[str] | None = None) -> list[int]:
    """Return the pids of the executors that live, of all sessions or of those of some runs: whom a nemesis may harm."""
    sessions = container.sandboxes.list_running()
    if run_ids is not None:
        rows = AgentRun.select(AgentRun.session_id).where(AgentRun.id.in_(run_ids)).distinct()
        sessions = sorted({row.session_id for row in rows} & set(sessions))
    records = [sandbox_record(container, session_id) for session_id in sessions]
    return [int(record["executor_pid"]) for record in records if record]


def journals(container: Container, run: AgentRun) -> list[list[Record]]:
    """Return the journals of a run's attempts that are there; read from disk where the sandbox is on this machine."""
    folder = _folder(container) / run.session_id / "state" / "journals"
    names = [agent_id(run.id, attempt) for attempt in range(1, run.attempt + 1)]
    if folder.is_dir():
        return [list(_records(folder / name)) for name in names if (folder / name).is_dir()]
    executor = container.sandboxes.connect(run.session_id)
    if executor is None:
        return []
    return [list(executor.follow(name, 0)) for name in names if executor.find_agent(name) is not None]


def leftovers(container: Container, busy: set[str]) -> list[Leftover]:
    """Return processes of this installation's sandboxes that nobody needs: whatever runs beside its executor in a session that is not
    `busy`, and executors that are not the one which the sandbox's record names."""
    seen = processes.table()
    found = []
    for pid, session_id, generation, is_agent in _marked(container, seen):
        record = sandbox_record(container, session_id)
        current = bool(record) and str(record["generation"]) == generation and container.sandboxes.connect(session_id)
        if not current or (is_agent and session_id not in busy):
            found.append(Leftover(session_id, pid, _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")))
    return [
        each for each in found if processes.look(each.pid) is not None
    ]  # those that ended meanwhile were on their way


def _marked(container: Container, seen: Mapping[int, processes.Process]) -> Iterator[tuple[int, str, str, bool]]:
    """Yield `(pid, session, generation, whether an executor started it)` of everything that carries this installation's mark."""
    instance = container.sandboxes._instance.encode() + b":"  # type: ignore[attr-defined]  # nobody else needs it
    for pid in seen:
        command = b"\0" + _read(pid, "cmdline")
        environment = b"\0" + _read(pid, "environ")
        told = f"\0{processes.SANDBOX_MARK}=".encode() + instance
        if b"\0" + instance in command:
            mark, is_agent = command.partition(b"\0" + instance)[2], False
        elif told in environment:
            mark, is_agent = environment.partition(told)[2], True
        else:
            continue
        session_id, _, generation = mark.partition(b"\0")[0].decode().rpartition(".")
        yield pid, session_id, generation, is_agent


def _records(journal: Path) -> Iterator[Record]:
    for segment in sorted(journal.glob("*.seg")):
        data, begin = segment.read_bytes(), 0
        while (newline := data.find(b"\n", begin)) >= 0:
            header = json.loads(data[begin:newline])
            end = newline + 1 + header["size"]
            if end + 1 > len(data):
                break  # a torn tail: nothing acted on it
            body = data[newline + 1 : end]
            yield Record(header["n"], header["t"], header["kind"], body, header.get("key"), header.get("epoch"))
            begin = end + 1


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""  # gone, or not ours


def _folder(container: Container) -> Path:
    return container.settings.root / "sandboxes"
