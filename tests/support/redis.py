"""A real Redis for tests: the binary that Paddock itself starts, with the same settings, in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from cli import embedded_redis
from tests.support import processes
from tests.support.waiting import eventually


@dataclass
class RedisServer:
    """A running server. `restart` is `kill -9` and a new start on the same folder."""

    folder: Path
    _stack: contextlib.ExitStack
    pid: int = 0
    options: tuple[str, ...] = ()
    """Further settings of the server, as words of its command line."""

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def client(self, db: int = 0, **options: Any) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.socket), db=db, **options)

    def start(self) -> None:
        argv = [*embedded_redis.arguments(embedded_redis.find_binary(), self.folder, self.socket), *self.options]
        process = self._stack.enter_context(processes.running(argv, log=self.folder / "redis.log"))
        self.pid = process.pid
        with self.client() as client:
            eventually(client.ping, what="redis", ignore=(redis.ConnectionError,))

    def stop(self) -> None:
        """Kill it; what was synced to its file stays."""
        self._stack.close()
        self.socket.unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    def lose_tail(self, size: int) -> int:
        """Kill it, cut the last `size` bytes off its append-only file (in the middle of an entry, perhaps) and start it again, as after
        a loss of power; returns how many bytes went."""
        self.stop()
        last = max(self.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
        there = last.stat().st_size
        os.truncate(last, max(0, there - size))
        self.start()
        return min(size, there)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()


@contextlib.contextmanager
def redis_server(*options: str, below: str = "/tmp") -> Iterator[RedisServer]:
    """Serve a fresh, empty Redis on a unix socket, from a new folder `below` another one."""
    folder = Path(tempfile.mkdtemp(prefix="pdk-redis-", dir=below))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        server = RedisServer(folder, stack.enter_context(contextlib.ExitStack()), options=options)
        server.start()
        yield server
