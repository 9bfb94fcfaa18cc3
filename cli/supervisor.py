"""Keeps the processes of the Procfile running in the background: starts, logs, restarts with back-off, stops in order.

It knows nothing of what they do. Its record (`supervisor.json`) names every process by pid and start time, so that the
next supervisor can clear away what one that was killed left behind. Starting it is `cli.lifecycle`'s work.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from honcho.environ import parse_procfile

from cli import log_files, processes
from cli.processes import ProcessMark

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 5.0
STEADY_SECONDS = 10.0  # a process that ran this long is taken to have been well, and is restarted at once
GRACE_SECONDS = 15.0
"""Between SIGTERM and SIGKILL of a process whose Procfile gives none: a worker hands its leases back meanwhile, web ends its
requests, Redis writes its file. The Procfile says it as `# grace: NAME 10 s`."""
LOG_BYTES = 10 * 1024 * 1024
LOG_LOOK_SECONDS = 2.0
REDIS = "redis"
LINGER_SECONDS = 3.0
"""How long a process is waited for that may go on ending its work by itself: by then it listens no more."""


@dataclass
class Child:
    """One instance of one Procfile entry. `retry_at` is monotonic, set while it waits for its restart."""

    name: str
    argv: list[str]
    grace: float = GRACE_SECONDS
    lingers: bool = False
    process: subprocess.Popen[bytes] | None = None
    mark: ProcessMark | None = None
    restarts: int = 0
    delay: float = FIRST_DELAY_SECONDS
    started: float = 0.0
    started_at: float = 0.0
    retry_at: float | None = None


@dataclass(frozen=True)
class Record:
    """The files of one supervisor: its lock, and what it says about itself and its children."""

    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder / "supervisor.lock"

    @property
    def path(self) -> Path:
        return self.folder / "supervisor.json"

    def read(self) -> dict[str, Any]:
        """Return the last written state; empty where there is none."""
        try:
            state: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return state

    def write(self, state: dict[str, Any]) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(state, indent=1), encoding="utf-8")
        draft.replace(self.path)

    def supervisor(self) -> ProcessMark | None:
        """Return the running supervisor."""
        state = self.read()
        found = ProcessMark(state["pid"], state["started"]) if state.get("pid") else None
        return found if found is not None and found.is_alive else None

    def children(self) -> dict[str, ProcessMark]:
        """Return the processes that were running when the state was written."""
        entries = self.read().get("processes", {})
        return {n: ProcessMark(e["pid"], e["started"]) for n, e in entries.items() if e.get("pid")}

    def clear_leftovers(self) -> list[str]:
        """Stop what a supervisor that died left running, Redis last; return the names."""
        left = {name: found for name, found in self.children().items() if found.is_alive}
        others = {name: found for name, found in self.children().items() if name != REDIS}
        processes.stop(list(others.values()), GRACE_SECONDS)
        if REDIS in left:
            processes.stop([left[REDIS]], GRACE_SECONDS)
        self.path.unlink(missing_ok=True)  # how often its children were restarted says nothing of the next ones
        return sorted(left)


@dataclass
class Supervisor:
    """`wait_for` is a unix socket that must answer PING after the start of `redis`, before anything else is started."""

    record: Record
    logs: Path
    children: list[Child]
    wait_for: Path | None = None
    log_bytes: int = LOG_BYTES
    stopping: bool = False
    _wake: tuple[int, int] = field(default_factory=lambda: os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))

    def run(self) -> None:
        """Start everything and keep it running until SIGTERM or SIGINT."""
        self._listen()
        self.record.clear_leftovers()
        for child in self.children:
            if self.stopping:
                break
            self._start(child)
            if child.name == REDIS and self.wait_for is not None:
                wait_for_redis(self.wait_for)
        while not self.stopping:
            select.select([self._wake[0]], [], [], self._next_wait())
            self._drain()
            self._mend()
            log_files.rotate(self.logs, self.log_bytes)
        self._stop()

    def _listen(self) -> None:
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGHUP):  # not SIG_IGN: children would inherit that
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _drain(self) -> None:
        while True:
            try:
                if not os.read(self._wake[0], 512):
                    return
            except BlockingIOError:
                return

    def _next_wait(self) -> float:
        moments = [child.retry_at for child in self.children if child.retry_at is not None]
        return min(LOG_LOOK_SECONDS, max(0.0, min(moments) - time.monotonic()) if moments else LOG_LOOK_SECONDS)

    def _start(self, child: Child) -> None:
        path = self.logs / f"{child.name}.log"
        child.retry_at, child.started, child.started_at = None, time.monotonic(), time.time()
        with path.open("ab") as log:
            try:
                child.process = subprocess.Popen(
                    child.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                log.write(log_files.line("supervisor", "cannot start", {"process": child.name, "error": error}))
                self._schedule(child)
            else:
                child.mark = processes.mark(child.process.pid)
        self._write()

    def _mend(self) -> None:
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                say("process ended", process=child.name, code=child.process.returncode)
                if child.mark is not None:
                    child.mark.kill_group()  # what a killed web or worker left behind would hold its port or its runs
                child.process, child.mark = None, None
                self._schedule(child)
                self._write()
            if child.retry_at is not None and child.retry_at <= time.monotonic() and not self.stopping:
                self._start(child)

    def _schedule(self, child: Child) -> None:
        """Set the time of the next start: soon after a steady run, later and later after quick deaths."""
        now = time.monotonic()
        if now - child.started > STEADY_SECONDS:
            child.delay = FIRST_DELAY_SECONDS
        child.retry_at = now + child.delay
        child.delay = min(child.delay * 2, LONGEST_DELAY_SECONDS)
        child.restarts += 1

    def _stop(self) -> None:
        """End the others first, so that they can still write to Redis; Redis last. Those that linger are told, and left to it: what
        they still do is for agents, which go on as well."""
        lingering = [child.mark for child in self.children if child.lingers and child.mark is not None]
        for mark in lingering:
            mark.signal(signal.SIGTERM)
        until = time.monotonic() + LINGER_SECONDS
        for of_redis in (False, True):
            some = [child for child in self.children if (child.name == REDIS) is of_redis and not child.lingers]
            marks = [child.mark for child in some if child.mark is not None]
            processes.stop(marks, max((child.grace for child in some), default=0.0))
        processes.wait_for_end(lingering, until - time.monotonic())
        self.record.write({})

    def _write(self) -> None:
        me = processes.mark(os.getpid())
        self.record.write(
            {
                "pid": os.getpid(),
                "started": me.started if me else 0,
                "processes": {
                    child.name: {
                        "pid": child.mark.pid if child.mark else None,
                        "started": child.mark.started if child.mark else None,
                        "startedAt": child.started_at,
                        "restarts": child.restarts,
                    }
                    for child in self.children
                },
            }
        )


def say(message: str, **facts: object) -> None:
    """Write a line to the supervisor's own log (its stderr)."""
    os.write(2, log_files.line("supervisor", message, facts))


def wait_for_redis(path: Path, seconds: float = 30.0) -> None:
    """Wait until the server answers PING (it may be reading its file first); go on after `seconds` all the same."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(path))
                probe.sendall(b"PING\r\n")
                if probe.recv(64).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    say("redis does not answer")


def children_of(procfile: Path, instances: dict[str, int], without: list[str]) -> list[Child]:
    """Return the children that a Procfile asks for: `worker: 2` makes `worker-1` and `worker-2`."""
    children = []
    text = procfile.read_text(encoding="utf-8")
    graces, lingering = graces_of(text), re.findall(r"(?m)^# lingers: (\S+)$", text)
    for name, command in parse_procfile(text).processes.items():
        if name in without:
            continue
        count = instances.get(name)
        names = [name] if count is None else [f"{name}-{n}" for n in range(1, count + 1)]
        grace = graces.get(name, GRACE_SECONDS)
        children += [Child(each, shlex.split(command), grace, name in lingering) for each in names]
    return children


def graces_of(procfile: str) -> dict[str, float]:
    """Return how long each process is given to end, as the Procfile's comments say."""
    return {name: float(seconds) for name, seconds in re.findall(r"(?m)^# grace: (\S+) (\d+(?:\.\d+)?) s$", procfile)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cli.supervisor")
    parser.add_argument("--procfile", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True, help="folder of the lock and the record")
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--instances", action="append", default=[], metavar="NAME=N")
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    parser.add_argument("--wait-for", type=Path, metavar="SOCKET")
    parser.add_argument("--log-bytes", type=int, default=LOG_BYTES, help="size above which a log is rotated")
    options = parser.parse_args()
    record = Record(options.run)
    with record.lock.open("w") as lock:  # held for as long as this process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another supervisor is running")
        instances = {name: int(count) for name, _, count in (text.partition("=") for text in options.instances)}
        children = children_of(options.procfile, instances, options.without)
        Supervisor(record, options.logs, children, options.wait_for, options.log_bytes).run()


if __name__ == "__main__":
    main()
