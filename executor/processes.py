"""Looking at processes and stopping them, by /proc alone: descendants, the sandbox's mark, freeze and kill."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SANDBOX_MARK = "PADDOCK_SANDBOX"
BOOT_MARK = "PADDOCK_BOOT"
TREE_MARK = "PADDOCK_TREE"


@dataclass(frozen=True, slots=True)
class Process:
    """A line of /proc. `started` are clock ticks since boot: pid and `started` together name a process for good."""

    pid: int
    parent: int
    session: int
    state: str
    started: int


def look(pid: int) -> Process | None:
    """Return the process, None where there is none (a zombie still is one, with state `Z`)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line[line.rindex(")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), fields[0], int(fields[19]))


def table() -> dict[int, Process]:
    """Return every process that can be seen and is not a zombie."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None and process.state not in ("Z", "X")}


def descendants(processes: dict[int, Process], roots: Iterable[int]) -> set[int]:
    """Return the pids of the children, their children and so on of `roots`, without the roots."""
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def below(root: int) -> dict[int, Process]:
    """Return the living descendants of `root` without looking at the whole machine; as `root` gathers orphans that is all it started.

    The kernel's lists of children may miss one while another ends, so two looks must agree.
    """
    seen = _below(root)
    for _ in range(10):
        before, seen = seen, _below(root)
        if before.keys() == seen.keys():
            break
    return seen


def _below(root: int) -> dict[int, Process]:
    found: dict[int, Process] = {}
    waiting = [root]
    while waiting:
        for pid in _children(waiting.pop()):
            process = look(pid)
            if pid not in found and process is not None and process.state not in ("Z", "X"):
                found[pid] = process
                waiting.append(pid)
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/{pid}/task/{task}/children", "rb") as file,
            ):
                found += map(int, file.read().split())
    return found


def marked(processes: dict[int, Process], name: str, value: str) -> set[int]:
    """Return the pids of those started with `name=value` in their environment (a value that ends in `.` is a prefix)."""
    wanted = f"\0{name}={value}".encode() + (b"" if value.endswith(".") else b"\0")
    return {pid for pid in processes if wanted in _environment(pid)}


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read() + b"\0"
    except OSError:
        return b""  # gone, or of another user: then it is not ours


def send(pid: int, number: int) -> bool:
    """Send a signal; False where the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False
    return True


def freeze(targets: Callable[[], set[int]]) -> int:
    """SIGSTOP what `targets` finds until all of it is stopped: a fork may race with the first rounds. Returns how many."""
    frozen: set[int] = set()
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        moving = {pid for pid in targets() if _moves(pid)}
        if not moving:
            break
        for pid in moving:
            if send(pid, signal.SIGSTOP):
                frozen.add(pid)
        time.sleep(0.001)
    return len(frozen)


def _moves(pid: int) -> bool:
    process = look(pid)
    return process is not None and process.state not in ("T", "t", "Z", "X")


def thaw(pids: set[int]) -> int:
    """SIGCONT those that are stopped; returns how many."""
    stopped = [pid for pid in pids if (process := look(pid)) is not None and process.state == "T"]
    return sum(send(pid, signal.SIGCONT) for pid in stopped)


def kill(targets: Callable[[], set[int]], *, seconds: float = 5.0) -> int:
    """SIGKILL what `targets` finds until it finds nothing, at most `seconds`. Returns how many were killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + seconds
    while pids := targets():
        for pid in pids:
            if send(pid, signal.SIGKILL):
                killed.add(pid)
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    return len(killed)


def first_child_of_namespace(init: int) -> int | None:
    """Return the process that is number 2 in the PID namespace whose number 1 is `init`: what bubblewrap was asked to run."""
    with contextlib.suppress(OSError), open(f"/proc/{init}/task/{init}/children", "rb") as file:
        for pid in map(int, file.read().split()):
            if _innermost_pid(pid) == 2:
                return pid
    return None


def _innermost_pid(pid: int) -> int:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status", "rb") as file:
        for line in file:
            if line.startswith(b"NSpid:"):
                return int(line.split()[-1])
    return 0
