"""Local sandboxes (`ports.Sandboxes`): one executor per session in a folder of its own, under bubblewrap where that works.

`<folder>/<name>/` holds workspace/, agent/ (the agents' HOME), state/ (journals, fences), run/executor.sock, and sandbox.json,
by which every process of Paddock finds the executor: pid, start time, socket, token, generation. The executor survives whoever
started it. Plain mode (no bubblewrap) is no boundary between the agent and this machine's user.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.adapters import bubblewrap
from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.adapters.precompiled import precompile
from app.log import logger
from app.ports import ExecutorError, SandboxSpec
from executor import files, processes

if TYPE_CHECKING:
    from app.adapters.httpx_executor import HttpxExecutor

_START_SECONDS = 15.0
_END_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class LocalSandboxSettings:
    """`bubblewrap` is `auto` or `off`; `only_peer` fences the network (`executor.settings.Settings`), which takes bubblewrap; `limits`
    shrinks the executor's limits in tests (`executor.settings.Limits`)."""

    folder: Path
    bubblewrap: str = "auto"
    orphan_seconds: float = 600.0
    only_peer: str | None = None
    client: ExecutorClientSettings = field(default_factory=ExecutorClientSettings)
    limits: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """sandbox.json. `pid` is bubblewrap's outer process or the executor itself; `executor_pid` the executor as seen from here."""

    name: str
    generation: int
    pid: int
    started: int
    executor_pid: int
    executor_started: int
    token: str
    mode: str

    def is_alive(self) -> bool:
        return _same(self.pid, self.started) and _same(self.executor_pid, self.executor_started)


@dataclass(frozen=True, slots=True)
class Reach:
    """How to talk to a running executor."""

    socket: Path
    token: str
    generation: int


class LocalSandboxes:
    """Implements `ports.Sandboxes`; safe for many threads and processes."""

    def __init__(self, settings: LocalSandboxSettings) -> None:
        self._settings = settings
        self._folder = settings.folder.resolve()
        self._instance = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:8]
        self._clients: dict[str, tuple[_Running, HttpxExecutor]] = {}
        self._clients_lock = threading.Lock()

    @property
    def mode(self) -> bubblewrap.SandboxMode:
        return bubblewrap.sandbox_mode(self._settings.bubblewrap)

    def start(self, spec: SandboxSpec) -> HttpxExecutor:
        with self._locked(spec.name):
            found = self._read(spec.name)
            if found is not None and found.is_alive() and found.generation >= spec.generation:
                if found.generation > spec.generation:
                    raise _wrong_generation("start")
                return self._client(found)
            if found is not None or self._sandbox(spec.name).exists():
                self._end(spec.name, found)
            return self._client(self._launch(spec))

    def connect(self, name: str) -> HttpxExecutor | None:
        found = self._read(name)
        return self._client(found) if found is not None and found.is_alive() else None

    def reach(self, name: str) -> Reach | None:
        """Return where the executor of a running sandbox listens, for a host that hands calls on to it."""
        found = self._read(name)
        if found is None or not found.is_alive():
            return None
        return Reach(self._sandbox(name) / "run/executor.sock", found.token, found.generation)

    def stop(self, name: str, generation: int) -> None:
        if not self._sandbox(name).is_dir():
            return
        with self._locked(name):
            if (latest := self._latest(name)) > generation:
                logger.warning("sandbox was started again", session_id=name, generation=generation, latest=latest)
                return
            self._end(name, self._read(name))

    def remove(self, name: str, generation: int) -> None:
        if not self._sandbox(name).is_dir():
            return
        with self._locked(name), suppress(FileNotFoundError):
            if self._latest(name) > generation:
                raise _wrong_generation("remove")
            self._end(name, self._read(name))
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                files.remove(folder, name)
            except (RecursionError, OSError):  # deeper than we can walk
                subprocess.run(["rm", "-rf", "--", str(self._sandbox(name))], check=True, capture_output=True)
            finally:
                os.close(folder)

    def exists(self, name: str) -> bool:
        """True where the sandbox's files are on this machine, running or not."""
        return (self._sandbox(name) / "workspace").is_dir()

    def list_running(self) -> list[str]:
        names = sorted(path.parent.name for path in self._folder.glob("*/sandbox.json"))
        return [name for name in names if (found := self._read(name)) is not None and found.is_alive()]

    # --- start -------------------------------------------------------------------------------------------------------------

    def _launch(self, spec: SandboxSpec) -> _Running:
        if self._settings.only_peer is not None and self.mode == "plain":
            message = "PADDOCK_SANDBOX_NETWORK=model-only needs bubblewrap, which does not work here (`paddock doctor`)"
            raise ExecutorError("network", "start", 1, 1, code="not_started", message=message)
        sandbox = self._sandbox(spec.name)
        for folder in (sandbox, *(sandbox / part for part in ("agent", "state", "run"))):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (sandbox / "workspace").mkdir(mode=0o755, exist_ok=True)
        self._note_generation(spec)
        token = secrets.token_urlsafe(32)
        started = _Start(sandbox, self._mark(spec), spec, self._told(spec, token)).run(self.mode)
        running = _Running(
            name=spec.name,
            generation=spec.generation,
            pid=started.pid,
            started=_started_at(started.pid),
            executor_pid=started.executor_pid,
            executor_started=_started_at(started.executor_pid),
            token=token,
            mode=self.mode,
        )
        self._write(running)
        self._await_answer(running)
        return running

    def _told(self, spec: SandboxSpec, token: str) -> dict[str, Any]:
        """Return the settings that the executor reads from its stdin."""
        told: dict[str, Any] = {
            "token": token,
            "name": spec.name,
            "generation": spec.generation,
            "mark": self._mark(spec),
            "orphan_seconds": self._settings.orphan_seconds,
            "limits": dict(self._settings.limits or {}),
        }
        if self._settings.only_peer is not None:  # an executor of the release before knows no fence
            told["only_peer"] = self._settings.only_peer
        if self.mode == "bubblewrap":
            places = {"listen": "unix:/run/paddock/executor.sock", "state": "/state", "workspace": "/workspace"}
            return {**told, **places, "agent": "/home/agent", "own_pids": True}
        sandbox = self._sandbox(spec.name)
        paths = {
            "/workspace": str(sandbox / "workspace"),
            "/home/agent": str(sandbox / "agent"),
            bubblewrap.PYTHON: bubblewrap.find_interpreter().path,
            bubblewrap.PACKAGE: str(bubblewrap.EXECUTOR_FOLDER),
        }
        return {
            **told,
            "listen": f"unix:{sandbox / 'run/executor.sock'}",
            "state": str(sandbox / "state"),
            "workspace": paths["/workspace"],
            "agent": paths["/home/agent"],
            "paths": {**paths, **spec.mounts},
        }

    def _await_answer(self, running: _Running) -> None:
        client = self._client(running)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if not running.is_alive():
                break
            if (self._sandbox(running.name) / "run/executor.sock").exists() and client.answers():
                return
            time.sleep(0.002)
        log = self._sandbox(running.name) / "executor.log"
        message = log.read_text(encoding="utf-8", errors="replace")[-2000:] or "it ended without a word"
        self._end(running.name, running)
        raise ExecutorError("network", "/health", 1, 1, code="not_started", message=message)

    # --- stop --------------------------------------------------------------------------------------------------------------

    def _end(self, name: str, found: _Running | None) -> None:
        """Kill what belongs to the sandbox: what the executor started first, while it still gathers orphans, then itself."""
        executor = found.executor_pid if found is not None and _same(found.executor_pid, found.executor_started) else 0

        def agents() -> set[int]:
            seen = processes.table()
            return processes.marked(seen, processes.SANDBOX_MARK, self._marks(name)) | (
                processes.descendants(seen, [executor]) - self._executors(name, seen) if executor else set()
            )

        if found is None or found.mode == "plain":
            processes.kill(agents, seconds=_END_SECONDS)
        elif executor:
            processes.send(executor, 9)  # process 1 of the namespace: the kernel takes the rest

        def all_of_it() -> set[int]:
            seen = processes.table()
            return self._executors(name, seen) | processes.marked(seen, processes.SANDBOX_MARK, self._marks(name))

        processes.kill(all_of_it, seconds=_END_SECONDS)
        self._forget(name)

    def _executors(self, name: str, seen: Mapping[int, processes.Process]) -> set[int]:
        """Return executors (their wardens, their bubblewrap) of this sandbox, known by the last word of their command line."""
        wanted = b"\0" + self._marks(name).encode()
        return {pid for pid in seen if wanted in _command_line(pid)}

    def _forget(self, name: str) -> None:
        with self._clients_lock:
            cached = self._clients.pop(name, None)
        if cached is not None:
            cached[1].close()
        for path in ("sandbox.json", "run/executor.sock"):
            (self._sandbox(name) / path).unlink(missing_ok=True)

    # --- sandbox.json ------------------------------------------------------------------------------------------------------

    def _client(self, found: _Running) -> HttpxExecutor:
        with self._clients_lock:
            cached = self._clients.get(found.name)
            if cached is not None and cached[0] == found:
                return cached[1]
            labels = {"session-id": found.name, "executor-id": f"{found.name}.{found.generation}"}
            socket = self._sandbox(found.name) / "run/executor.sock"
            address = ExecutorAddress(found.token, found.generation, socket=socket, labels=labels)
            from app.adapters.httpx_executor import (
                HttpxExecutor,  # late: httpx is slow to load, starting must not wait for it
            )

            client = HttpxExecutor(address, self._settings.client)
            self._clients[found.name] = (found, client)
            return client

    def _read(self, name: str) -> _Running | None:
        try:
            return _Running(**json.loads((self._sandbox(name) / "sandbox.json").read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _write(self, running: _Running) -> None:
        path = self._sandbox(running.name) / "sandbox.json"
        descriptor = os.open(path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(running), file)
        path.with_suffix(".new").replace(path)

    def _latest(self, name: str) -> int:
        """Return the generation that was started last, 0 where none was. It is on disk before the first process of it is there."""
        try:
            return int((self._sandbox(name) / "generation").read_text())
        except (FileNotFoundError, ValueError):  # started by a release that did not write it down
            found = self._read(name)
            return found.generation if found is not None else 0

    def _note_generation(self, spec: SandboxSpec) -> None:
        path = self._sandbox(spec.name) / "generation"
        path.with_suffix(".new").write_text(str(spec.generation))
        path.with_suffix(".new").replace(path)

    def _sandbox(self, name: str) -> Path:
        if not name or "/" in name or name.startswith("."):
            raise ValueError(f"not a name of a sandbox: {name!r}")
        return self._folder / name

    def _mark(self, spec: SandboxSpec) -> str:
        return f"{self._marks(spec.name)}{spec.generation}"

    def _marks(self, name: str) -> str:
        """Return what the marks of all generations begin with; ends in a dot."""
        return f"{self._instance}:{name}."

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Hold the sandbox against every other thread and process that starts, stops or removes it."""
        locks = self._folder / ".locks"
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sandbox(name)
        descriptor = os.open(locks / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Started:
    pid: int
    executor_pid: int


@dataclass(frozen=True, slots=True)
class _Start:
    """One start of an executor process."""

    sandbox: Path
    mark: str
    spec: SandboxSpec
    told: dict[str, Any]

    def run(self, mode: bubblewrap.SandboxMode) -> _Started:
        interpreter = bubblewrap.find_interpreter()
        precompile(interpreter.path)
        if mode == "plain":
            main = bubblewrap.EXECUTOR_FOLDER / "__main__.py"
            pid = self._spawn([interpreter.path, "-I", "-S", "-B", str(main), self.mark], self.told, ())
            return _Started(pid, pid)
        return self._run_boxed(interpreter)

    def _run_boxed(self, interpreter: bubblewrap.Interpreter) -> _Started:
        info, status = os.pipe(), os.pipe()
        try:
            box = bubblewrap.Box(self.sandbox, self.spec.mounts, info[1], status[1])
            program = [bubblewrap.PYTHON, "-I", "-S", "-B", f"{bubblewrap.PACKAGE}/__main__.py", self.mark]
            told = {**self.told, "monitor_fd": status[0]}
            fds = (info[1], status[0], status[1])
            pid = self._spawn([*bubblewrap.command_line(box, interpreter), *program], told, fds)
            os.close(info[1])
            with os.fdopen(info[0], "rb", closefd=False) as file:
                answer = file.read()
            return _Started(pid, json.loads(answer)["child-pid"] if answer else pid)
        finally:
            for descriptor in (info[0], *status):
                os.close(descriptor)

    def _spawn(self, argv: list[str], told: dict[str, Any], fds: tuple[int, ...]) -> int:
        with (self.sandbox / "executor.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={"LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
                pass_fds=fds,
                umask=0o022,
            )
        assert process.stdin is not None  # noqa: S101 - PIPE was asked for
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(json.dumps(told).encode() + b"\n")
        process.returncode = 0  # reaped by the thread; Popen must neither wait nor complain
        threading.Thread(target=_reap, args=(process.pid,), name="reap-executor", daemon=True).start()
        return process.pid


def _wrong_generation(act: str) -> ExecutorError:
    return ExecutorError("http", act, 1, 1, status=409, code="wrong_generation")


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _same(pid: int, started: int) -> bool:
    process = processes.look(pid)
    return process is not None and process.started == started and process.state not in ("Z", "X")


def _started_at(pid: int) -> int:
    process = processes.look(pid)
    return process.started if process is not None else 0


def _command_line(pid: int) -> bytes:
    with suppress(OSError):
        return b"\0" + Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""
