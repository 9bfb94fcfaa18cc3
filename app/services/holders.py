"""The names of holders in leases, and the end of leases whose holder is known to be dead.

A worker that was killed keeps its runs, and the sandboxes it was at work on, until their leases are over. Where its death can be
seen, on the machine it ran on, nobody needs to wait for that. Nothing depends on this being right: whoever claims a run fences off
the holder before (decision 2), and every change of a sandbox is conditional on the lease.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from functools import cache
from pathlib import Path

from app.log import logger
from app.services import runs, worker_rows


def name_of_this_process() -> str:
    """Return `<host>:<pid>:<start>:<place>:<random>`. Start and place say which process that is, and where one may look for it."""
    started = _started(os.getpid())
    return f"{socket.gethostname()}:{os.getpid()}:{started}:{_place()}:{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """True where the process that made this name ran here and has ended; False where that cannot be known."""
    parts = owner.split(":")
    if len(parts) != 5 or parts[3] != _place() or not (parts[1].isdecimal() and parts[2].isdecimal()):
        return False
    return _started(int(parts[1])) != int(parts[2])


def end_leases_of_the_dead() -> int:
    """End the leases that dead processes of this machine hold; return how many."""
    dead = [owner for owner in {*runs.list_holders(), *worker_rows.list_holders()} if is_dead(owner)]
    ended = runs.end_leases_of(dead) + worker_rows.end_leases_of(dead) if dead else 0
    if ended:
        logger.warning("workers have died", owners=dead, leases=ended)
    return ended


@cache
def _place() -> str:
    """Name this boot of this machine and its process ids: containers have others, even under the same host name."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return hashlib.sha256(f"{boot} {Path('/proc/self/ns/pid').readlink()}".encode()).hexdigest()[:12]


def _started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 where there is none or only its zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
