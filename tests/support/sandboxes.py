"""Real local sandboxes for tests, and small agents to run in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.adapters.executor_address import ExecutorClientSettings
from app.adapters.httpx_executor import HttpxExecutor
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.domain.journal import Record
from app.domain.turn import AgentCommand
from app.ports import EVERY_GENERATION, AgentStart, AgentState, SandboxSpec
from executor import processes

PYTHON = "/opt/paddock/python"
QUICK = ExecutorClientSettings(max_retries=2, retry_delay_ms=20, timeout_ms=10_000)


@contextmanager
def local_sandboxes(folder: Path, mode: str, **settings: Any) -> Iterator[LocalSandboxes]:
    """Local sandboxes below `folder` that are all gone when the block ends."""
    bubblewrap = "auto" if mode == "bubblewrap" else "off"
    sandboxes = LocalSandboxes(LocalSandboxSettings(folder, bubblewrap=bubblewrap, client=QUICK, **settings))
    try:
        yield sandboxes
    finally:
        for name in [path.name for path in folder.glob("[!.]*")]:
            sandboxes.remove(name, EVERY_GENERATION)


def spec(name: str = "ses_1", generation: int = 1, **mounts: str) -> SandboxSpec:
    return SandboxSpec(name, generation, mounts, {})


def python(code: str, **env: str) -> AgentCommand:
    """An agent that runs `code`."""
    return AgentCommand([PYTHON, "-u", "-c", code], env)


def start(executor: HttpxExecutor, command: AgentCommand, agent_id: str = "run_1.1", epoch: int = 1) -> AgentState:
    return executor.start_agent(AgentStart(agent_id, agent_id.rpartition(".")[0], epoch, "test", command, {}))


def run_to_end(executor: HttpxExecutor, command: AgentCommand, agent_id: str = "run_1.1") -> list[Record]:
    """Run an agent and return its whole journal."""
    start(executor, command, agent_id)
    return list(executor.follow(agent_id, 0))


def said(records: list[Record], kind: str = "out") -> list[bytes]:
    return [record.data for record in records if record.kind == kind]


def wait_for(executor: HttpxExecutor, text: bytes, agent_id: str = "run_1.1") -> Record:
    """Return the first record of the agent's output that holds `text`."""
    for record in executor.follow(agent_id, 0):
        if record.kind == "out" and text in record.data:
            return record
    raise AssertionError(f"the agent ended without saying {text!r}")


def executor_pid(sandboxes: LocalSandboxes, name: str = "ses_1") -> int:
    """Return the executor's process as this machine sees it."""
    running = sandboxes._read(name)
    assert running is not None
    return running.executor_pid


def processes_of(needle: str) -> list[int]:
    """Return the living processes that have `needle` in their command line."""
    found = []
    for pid in processes.table():
        try:
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if needle.encode() in command_line and pid != os.getpid():
            found.append(pid)
    return found
