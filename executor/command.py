"""Running a command to its end, with its output and a time limit; for git and for `tty/exec`."""

from __future__ import annotations

import os
import selectors
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from executor.spawner import Child, Command, Spawner

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """`code` is None where the command was killed; `truncated` where it said more than was kept."""

    stdout: bytes
    stderr: bytes
    code: int | None
    timed_out: bool
    truncated: bool


class _Output:
    def __init__(self, limit: int) -> None:
        self.data, self.truncated, self._limit = bytearray(), False, limit

    def add(self, part: bytes) -> None:
        room = self._limit - len(self.data)
        self.truncated = self.truncated or len(part) > room
        self.data += part[:room]


def run(spawner: Spawner, command: Command, *, seconds: float, limit: int) -> Finished:
    """Run a command without input; its whole tree is killed after `seconds`. Keeps `limit` bytes of each stream."""
    child = spawner.spawn(command)
    os.close(child.stdin)
    outputs = {child.stdout: _Output(limit), child.stderr: _Output(limit)}
    wake_in, wake_out = os.pipe()
    threading.Thread(target=_tell_end, args=(child, wake_out), daemon=True).start()
    try:
        timed_out = not _collect(outputs, wake_in, time.monotonic() + seconds)
        child.kill_tree()
        child.ended.wait(10)
        _rest(outputs)
    finally:
        for descriptor in (child.stdout, child.stderr, wake_in):
            os.close(descriptor)
    out, err = outputs.values()
    kind, _, number = (child.exit or "signal:9").partition(":")
    code = int(number) if kind == "code" and not timed_out else None
    return Finished(bytes(out.data), bytes(err.data), code, timed_out, out.truncated or err.truncated)


def _tell_end(child: Child, wake: int) -> None:
    child.ended.wait()
    os.close(wake)


def _collect(outputs: dict[int, _Output], wake: int, deadline: float) -> bool:
    """Read until the command ends; False where the time is up before."""
    with selectors.DefaultSelector() as selector:
        for descriptor in (*outputs, wake):
            selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                if key.fd == wake:
                    return True
                part = os.read(key.fd, _CHUNK)
                outputs[key.fd].add(part)
                if not part:
                    selector.unregister(key.fd)
    return False


def _rest(outputs: dict[int, _Output]) -> None:
    for descriptor, output in outputs.items():
        os.set_blocking(descriptor, False)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            try:
                part = os.read(descriptor, _CHUNK)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            if not part:
                break
            output.add(part)


def shell(command: str) -> Sequence[str]:
    """Return the argument list of a shell command, by bash where there is one."""
    return ("/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh", "-c", command)


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def environment(home: str) -> Mapping[str, str]:
    """Return the environment of a command that a person typed."""
    return {"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "TERM": "dumb", "USER": "agent"}
