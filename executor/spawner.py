"""Starting and reaping child processes, all from the main thread: the kernel ties "die with the parent" to the thread that forks.

Where bubblewrap works inside the sandbox each child gets a PID namespace of its own (its whole tree dies at once) and cannot
see the executor's own folders. Elsewhere a child has its own session, PDEATHSIG, and marks in its environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from executor import processes
from executor.relay import Relay
from executor.settings import Settings

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_libc = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """Keep a process of the same user from reading this one's memory, and inherit orphans instead of losing them."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when `parent`, its parent, dies; to be called in the child."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


Network = Literal["none", "model", "open"]


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. `hidden`: the executor's own folders are out of its sight, where the sandbox can do that. `network`: what it reaches
    where the sandbox is fenced (`Settings.only_peer`)."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    hidden: bool = True
    network: Network = "none"


class Child:
    """A running child. `stdin`, `stdout`, `stderr` are our ends of its pipes; whoever asked for it closes them."""

    def __init__(self, stdin: int, stdout: int, stderr: int, tree: str) -> None:
        self.stdin, self.stdout, self.stderr, self.tree = stdin, stdout, stderr, tree
        self.pid = 0
        self.exit: str | None = None
        self.ended = threading.Event()
        self.on_end: Callable[[], None] = lambda: None
        self.isolated = False
        self._info: int | None = None
        self._init: int | None = None
        self._lock = threading.Lock()

    def signal(self, number: int) -> None:
        """Send a signal to the process that was asked for; to its whole tree for SIGKILL."""
        if number == signal.SIGKILL:
            self.kill_tree()
        elif not self.ended.is_set() and (pid := self._target()) is not None:
            processes.send(pid, number)

    def kill_tree(self) -> None:
        """End the process and everything it started, whatever it did to get away. Returns when nothing is left (or after 5 s)."""
        if not self.isolated:
            processes.kill(self._tree)
            return
        for pid in (self._namespace_init(), self.pid):
            if pid is not None and not self.ended.is_set():
                processes.send(pid, signal.SIGKILL)

    def _tree(self) -> set[int]:
        seen = processes.below(os.getpid())
        roots = processes.marked(seen, processes.TREE_MARK, self.tree)
        roots |= {pid for pid, process in seen.items() if self.pid in (pid, process.session)}
        if self.ended.is_set():
            roots.discard(self.pid)
        return (roots | processes.descendants(seen, roots)) - {os.getpid()}

    def _target(self) -> int | None:
        if not self.isolated:
            return self.pid
        deadline = time.monotonic() + 2.0
        while (init := self._namespace_init()) is not None and time.monotonic() < deadline:
            if (pid := processes.first_child_of_namespace(init)) is not None:
                return pid
            time.sleep(0.002)
        return None

    def _namespace_init(self) -> int | None:
        with self._lock:
            if self._init is None and self._info is not None:
                text = b""
                while part := os.read(self._info, 4096):
                    text += part
                with contextlib.suppress(ValueError):
                    self._init = json.loads(text)["child-pid"]
            return self._init

    def isolate(self, info: int) -> None:
        """Tell the child that it lives in a PID namespace of its own, which bubblewrap describes on `info`."""
        self.isolated, self._info = True, info

    def finish(self, how: str) -> None:
        """Note that the process is gone; called once, by whoever reaped it."""
        self.exit = how
        self.ended.set()
        self.on_end()
        with self._lock:
            if self._info is not None:
                os.close(self._info)
                self._info = None


@dataclass(slots=True)
class _Request:
    command: Command
    done: threading.Event
    child: Child | None = None
    error: OSError | None = None


class Spawner:
    """`run` is the main thread's loop; `spawn` may be called from every other thread."""

    def __init__(self, settings: Settings, boot_id: str) -> None:
        self._settings = settings
        self._boot_id = boot_id
        self._requests: deque[_Request] = deque()
        self._children: dict[int, Child] = {}
        self._serial = 0
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_out, False)
        self._bwrap = _find_inner_bwrap(settings)

    @property
    def isolates(self) -> bool:
        """True where each child has a PID namespace of its own."""
        return self._bwrap is not None

    def spawn(self, command: Command) -> Child:
        """Start a command; raises OSError where it cannot be started."""
        request = _Request(command, threading.Event())
        self._requests.append(request)
        self._wake()
        request.done.wait()
        if request.child is None:
            raise request.error or OSError("not started")
        return request.child

    def run(self) -> None:
        """Serve requests and reap children for as long as the process lives."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)
        while True:
            os.read(self._wake_in, 4096)
            self._reap()
            while self._requests:
                self._serve(self._requests.popleft())

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_out, b"x")

    def _serve(self, request: _Request) -> None:
        try:
            request.child = self._start(request.command)
        except OSError as error:
            request.error = error
        request.done.set()

    def _start(self, command: Command) -> Child:
        self._serial += 1
        stdin, stdout, stderr = os.pipe(), os.pipe(), os.pipe()
        info = os.pipe() if self._bwrap is not None else None
        child = Child(stdin[1], stdout[0], stderr[0], f"{self._boot_id}.{self._serial}")
        peer = self._settings.only_peer if command.network == "model" else None
        relay = Relay(peer, child.ended) if peer else None
        stdio = (stdin[0], stdout[1], stderr[1])
        try:
            child.pid = self._fork(command, child.tree, stdio, info[1] if info else None, relay)
        except OSError:
            for descriptor in (stdin[1], stdout[0], stderr[0], *(info[:1] if info else ())):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (stdin[0], stdout[1], stderr[1], *(info[1:] if info else ())):
                os.close(descriptor)
            if relay is not None:
                relay.start()
        if info is not None:
            child.isolate(info[0])
        self._children[child.pid] = child
        return child

    def _fork(
        self, command: Command, tree: str, stdio: tuple[int, int, int], info: int | None, relay: Relay | None
    ) -> int:
        marks = {
            processes.SANDBOX_MARK: self._settings.mark,
            processes.BOOT_MARK: self._boot_id,
            processes.TREE_MARK: tree,
        }
        argv = [_resolve(command.argv[0], command.env.get("PATH", "")), *command.argv[1:]]
        if not os.path.isdir(command.cwd):
            raise FileNotFoundError(2, "there is no such folder to start in", command.cwd)
        if self._fences(command) and info is None:
            raise PermissionError(1, "the network cannot be fenced here: bubblewrap does not work in this sandbox")
        if relay is not None:
            argv = relay.behind_gate(argv)
        parent = os.getpid()
        process = subprocess.Popen(
            argv if info is None else [*self._inner(command, info), "--", *argv],
            env={**command.env, **marks},
            cwd=command.cwd,
            stdin=stdio[0],
            stdout=stdio[1],
            stderr=stdio[2],
            start_new_session=True,
            pass_fds=[*([] if info is None else [info]), *([] if relay is None else [relay.inherited])],
            preexec_fn=(lambda: die_with(parent)) if info is None else None,  # noqa: PLW1509 - forks from the main thread
        )
        process.returncode = 0  # reaped below; Popen must not try
        return process.pid

    def _fences(self, command: Command) -> bool:
        return self._settings.only_peer is not None and command.network != "open"

    def _inner(self, command: Command, info: int) -> list[str]:
        hide = [part for path in ("/state", "/run/paddock") for part in ("--tmpfs", path)] if command.hidden else []
        flags = ["--unshare-user", "--unshare-pid", "--die-with-parent", "--cap-drop", "ALL", "--dev-bind", "/", "/"]
        if self._fences(command):
            flags.append("--unshare-net")
        return [self._bwrap or "bwrap", *flags, *hide, "--chdir", command.cwd, "--info-fd", str(info)]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                child.finish(_exit_of(os.waitstatus_to_exitcode(status), inner=self.isolates))


def _exit_of(code: int, *, inner: bool) -> str:
    if code < 0:
        return f"signal:{-code}"
    if inner and 128 < code <= 128 + 64:  # bubblewrap tells a death by signal as a shell does
        return f"signal:{code - 128}"
    return f"code:{code}"


def _resolve(program: str, path: str) -> str:
    folders = [folder for folder in path.split(":") if folder]
    candidates = [program] if "/" in program else [os.path.join(folder, program) for folder in folders]
    for candidate in candidates:
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise FileNotFoundError(2, "there is no such program", program)


def _find_inner_bwrap(settings: Settings) -> str | None:
    """Return bubblewrap's path where it can be used inside this sandbox."""
    if not settings.own_pids:
        return None
    for bwrap in ("/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap"):
        if os.access(bwrap, os.X_OK):
            flags = [
                "--unshare-user",
                "--unshare-pid",
                "--die-with-parent",
                "--dev-bind",
                "/",
                "/",
                "--tmpfs",
                "/state",
                *(["--unshare-net"] if settings.only_peer is not None else []),
            ]
            tried = subprocess.run([bwrap, *flags, "/bin/true"], capture_output=True, check=False, timeout=10)
            if tried.returncode == 0:
                return bwrap
            sys.stderr.buffer.write(tried.stderr)
    return None
