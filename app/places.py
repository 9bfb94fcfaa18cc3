"""Where things lie below PADDOCK_VAR, for those who must know before, or without, the settings."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

LONGEST_SOCKET_PATH = 107
"""Bytes that a unix socket's address can hold on Linux."""


def redis_socket(root: Path) -> Path:
    """Return the unix socket of the Redis that Paddock starts itself; a short path where the usual one is too long for a socket."""
    path = root / "redis" / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return Path(f"/tmp/paddock-{os.getuid()}-{mark}") / "redis.sock"  # noqa: S108 - its folder is made 0700 and checked
