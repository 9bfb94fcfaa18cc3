"""Processes known by pid and start time, so that a reused pid is never taken for the old process. Linux's /proc only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """A process that led its own group when it was started. `started` is in clock ticks since boot, as /proc has it."""

    pid: int
    started: int

    @property
    def is_alive(self) -> bool:
        return start_time(self.pid) == self.started

    @property
    def group_is_alive(self) -> bool:
        """True while anything of its group runs, also what it left behind when it died."""
        if start_time(self.pid) not in (self.started, None):
            return False
        stats = (_stat(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return any(fields[0] not in "ZX" and int(fields[2]) == self.pid for fields in stats if fields)

    def signal(self, number: int) -> None:
        """Signal the process itself, if it is still the same one."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        """SIGKILL everything in its group, also what it left behind when it died; never a stranger with its old pid."""
        if start_time(self.pid) in (self.started, None):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def mark(pid: int) -> ProcessMark | None:
    """Return the mark of a running process, None where it has ended."""
    started = start_time(pid)
    return None if started is None else ProcessMark(pid, started)


def start_time(pid: int) -> int | None:
    """Return when the process started, None where there is none or only its zombie."""
    fields = _stat(pid)
    return None if not fields or fields[0] in "ZX" else int(fields[19])


def _stat(pid: int | str) -> list[str]:
    """Return /proc's fields of a process from its state on; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def stop(marks: Sequence[ProcessMark], grace_seconds: float) -> None:
    """SIGTERM all at once, wait for them, then SIGKILL their groups; what they held (a port, a lock) is free afterwards."""
    for process in marks:
        process.signal(signal.SIGTERM)
    wait_for_end(marks, grace_seconds)
    for process in marks:
        process.kill_group()
    _wait_until(lambda: not any(process.group_is_alive for process in marks), 5)


def wait_for_end(marks: Sequence[ProcessMark], seconds: float) -> bool:
    """Wait until none is alive; False when time was up first."""
    return _wait_until(lambda: not any(process.is_alive for process in marks), seconds)


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
