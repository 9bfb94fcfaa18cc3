"""The end of everything: every process of an installation killed at once, sandboxes too, as when the machine goes down."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import orjson

from executor import processes
from tests.support.processes import is_alive
from tests.support.stack import Stack
from tests.support.waiting import eventually


def executors_of(running: Stack) -> list[tuple[int, int]]:
    """Return the outermost process and the executor of each sandbox that runs."""
    found = [orjson.loads(path.read_bytes()) for path in (running.var / "sandboxes").glob("*/sandbox.json")]
    return [(told["pid"], told["executor_pid"]) for told in found if is_alive(told["executor_pid"])]


def kill_everything(running: Stack) -> None:
    """SIGKILL supervisor, Redis, web, workers, scheduler, executors and agents. `running.up()` starts it again."""
    supervisor = running.supervisor()
    assert supervisor is not None
    roots = [supervisor.pid, *(mark.pid for mark in running.processes().values())]
    roots += [pid for pair in executors_of(running) for pid in pair]
    everything = set(roots) | processes.descendants(processes.table(), roots)
    for pid in (supervisor.pid, *everything):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, everything)), what="the end of everything")
