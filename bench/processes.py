"""What processes cost: read from /proc. `Meter` tells CPU between two looks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes: `unique` would come back if they ended, `proportional` has their part of shared pages, `resident` counts
    those fully."""

    unique: int
    proportional: int
    resident: int


def memory_of(pids: Iterable[int]) -> Memory:
    """Return what these processes hold together; a page that two of them share counts in neither's `unique`."""
    unique = proportional = resident = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE)}
        unique += sizes["Private_Clean"] + sizes["Private_Dirty"]
        proportional += sizes["Pss"]
        resident += sizes["Rss"]
    return Memory(unique, proportional, resident)


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(word) for word in (task / "children").read_text(encoding="ascii").split()]
    return found


def family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def words(pid: int) -> list[str]:
    """Return a process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")[:-1]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that these processes have used so far."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS
