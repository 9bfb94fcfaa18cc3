"""Real worker processes over a world's Redis and SQL, for tests that kill, stop and restart them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import ids
from tests.support.waiting import eventually
from tests.support.world import World

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Code:
    """Which code the processes run: the folder it lies in, and how a worker is started."""

    folder: Path = ROOT
    worker: tuple[str, ...] = ("workers", "runs")


OURS = Code()


class Fleet:
    """`workers` processes of `python -m workers runs`, and a scheduler."""

    def __init__(self, world: World, workers: int, environment: Mapping[str, str], code: Code = OURS) -> None:
        self._environment, self._code = environment, code
        world.settings.root.mkdir(parents=True, exist_ok=True)
        self._path = world.settings.root / f"fleet-{ids.new_id('log')}.log"
        self._log = self._path.open("ab")
        self.workers = [self._spawn(*code.worker) for _ in range(workers)]
        self._others = [self._spawn("scheduler")]

    def kill_one(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a random worker and start another in its place where it dies of it; returns its pid."""
        index = random.randrange(len(self.workers))
        victim = self.workers[index]
        victim.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            victim.wait()
            self.workers[index] = self._spawn(*self._code.worker)
        return victim.pid

    def log(self) -> str:
        return self._path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        for process in (*self.workers, *self._others):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self._log.close()

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=self._code.folder,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )


@contextmanager
def open_fleet(world: World, workers: int = 2, code: Code = OURS, **settings: str) -> Iterator[Fleet]:
    """Start worker processes with the world's settings; `settings` are further environment variables."""
    environment = {
        "PADDOCK_VAR": str(world.settings.root),
        "DATABASE_URL": world.settings.database,
        "REDIS_URL": world.settings.redis,
        "PADDOCK_LEASE_SECONDS": str(world.settings.lease_seconds),
        "PADDOCK_SWEEP_SECONDS": "0.5",
        "PADDOCK_MAX_ATTEMPTS": str(world.settings.max_attempts),
        **settings,
    }
    fleet = Fleet(world, workers, environment, code)
    try:
        eventually(lambda: fleet.log().count("worker ready") >= workers, what="the workers are ready")
        yield fleet
    finally:
        fleet.stop()
