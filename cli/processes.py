"""Processes known by pid and start time, so that a reused pid is never taken for the old process. Linux's /proc only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
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
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def stop(marks: Sequence[ProcessMark], grace_seconds: float) -> None:
    """SIGTERM all at once, wait for them, then SIGKILL their groups."""
    for process in marks:
        process.signal(signal.SIGTERM)
    wait_for_end(marks, grace_seconds)
    for process in marks:
        process.kill_group()
    wait_for_end(marks, 5)


def wait_for_end(marks: Sequence[ProcessMark], seconds: float) -> bool:
    """Wait until none is alive; False when time was up first."""
    deadline = time.monotonic() + seconds
    while any(process.is_alive for process in marks):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
