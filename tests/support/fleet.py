"""Real worker processes over a world's Redis and SQL, for tests that kill, stop and restart them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
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
OWNER = "RUN_QUEUE_OWNER"
REPORTED_LINES = 15


class Fleet:
    """`workers` processes of `python -m workers runs`, and a scheduler."""

    def __init__(self, world: World, workers: int, environment: Mapping[str, str], code: Code = OURS) -> None:
        self._environment, self._code = environment, code
        world.settings.root.mkdir(parents=True, exist_ok=True)
        self._logs = world.settings.root / f"fleet-{ids.new_id('log')}"
        self._logs.mkdir()
        self._spawned, self._owners = 0, dict[str, int]()
        self.workers = [self._spawn_worker() for _ in range(workers)]
        self._others = [self._spawn("scheduler")]

    def kill_one(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a random worker and start another in its place where it dies of it; returns its pid."""
        index = random.randrange(len(self.workers))
        victim = self.workers[index]
        victim.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            victim.wait()
            self.workers[index] = self._spawn_worker()
        return victim.pid

    @contextmanager
    def mending(self) -> Iterator[None]:
        """Start another worker in the place of each that dies while the block lasts, as a supervisor does."""
        done = threading.Event()

        def mend() -> None:
            while not done.wait(0.05):
                for index, worker in enumerate(self.workers):
                    if worker.poll() is not None:
                        self.workers[index] = self._spawn_worker()

        mender = threading.Thread(target=mend, name="mender")
        mender.start()
        try:
            yield
        finally:
            done.set()
            mender.join()

    def ready(self) -> list[int]:
        """Return the workers that live and came up: whoever kills faster than others start proves nothing."""
        alive = [worker.pid for worker in list(self.workers) if worker.poll() is None]
        return [pid for pid in alive if "worker ready" in self._log_of(pid)]

    def pid_of(self, owner: str) -> int:
        """Return the process that has this name in leases."""
        return self._owners[owner] if owner in self._owners else int(owner.split(":")[1])

    def is_ready(self) -> bool:
        return len(self.ready()) == len(self.workers)

    def log(self) -> str:
        """Return what all of them ever said."""
        names = sorted(path.stem for path in self._logs.glob("*.log"))
        return "".join(self._log_of(int(name)) for name in names)

    def report(self) -> str:
        """Return who lives, and what each said last."""
        processes = [(process.pid, process.poll()) for process in (*self.workers, *self._others)]
        return "\n".join(
            f"--- {pid} {'lives' if code is None else f'ended with {code}'}\n" + "".join(self._last_lines(pid))
            for pid, code in processes
        )

    def stop(self) -> None:
        for process in (*self.workers, *self._others):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def _spawn_worker(self) -> subprocess.Popen[bytes]:
        self._spawned += 1
        named = {}
        if OWNER in self._environment:  # each its own: leases tell them apart
            named = {OWNER: f"{self._environment[OWNER]}-{self._spawned}"}
        worker = self._spawn(*self._code.worker, **named)
        self._owners |= dict.fromkeys(named.values(), worker.pid)
        return worker

    def _spawn(self, module: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        draft = self._logs / f"starting-{ids.new_id('log')}"
        with draft.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self._code.folder,
                env={**os.environ, **self._environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        draft.rename(self._logs / f"{process.pid}.log")
        return process

    def _last_lines(self, pid: int) -> list[str]:
        return [f"{line[:400]}\n" for line in self._log_of(pid).splitlines()[-REPORTED_LINES:]]

    def _log_of(self, pid: int) -> str:
        path = self._logs / f"{pid}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


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
        eventually(fleet.is_ready, 90, what="the workers are ready")
        yield fleet
    finally:
        print(fleet.report(), file=sys.stderr)
        fleet.stop()
