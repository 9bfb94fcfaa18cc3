"""A command at a real (pseudo) terminal: what it shows, what is typed into it, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support import processes
from tests.support.waiting import eventually

_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class TerminalSession:
    """`text` is everything shown so far, without colours."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self._process, self._descriptor = process, descriptor
        self._shown = b""

    @property
    def text(self) -> str:
        while select.select([self._descriptor], [], [], 0)[0]:
            try:
                data = os.read(self._descriptor, 65536)
            except OSError:  # EIO: the command's side is closed
                break
            if not data:
                break
            self._shown += data
        return _STYLES.sub("", self._shown.decode("utf-8", "replace")).replace("\r\n", "\n")

    def expect(self, words: str, deadline: float = 60) -> None:
        """Wait until `words` are shown."""
        try:
            eventually(lambda: words in self.text, deadline, what=f"{words!r} on the terminal")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- shown ---\n{self.text}") from error

    def type(self, line: str) -> None:
        os.write(self._descriptor, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._descriptor, b"\x03")

    def end_input(self) -> None:
        """Press Ctrl-D."""
        os.write(self._descriptor, b"\x04")

    def wait(self, deadline: float = 60) -> int:
        """Wait for the command's end and return its exit code."""

        def ended() -> bool:
            _ = self.text  # a full terminal would hold the command up
            return self._process.poll() is not None

        eventually(ended, deadline, what="the command's end")
        return int(self._process.returncode)


@contextlib.contextmanager
def at_terminal(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None) -> Iterator[TerminalSession]:
    """Run a command with a terminal as its stdin, stdout and stderr."""
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *argv], stdin=inner, stdout=inner, stderr=inner, env=dict(env), cwd=cwd
    )
    os.close(inner)
    try:
        yield TerminalSession(process, outer)
    finally:
        if process.poll() is None:
            processes.kill_group(_session_of(process.pid))
            process.kill()
        process.wait(timeout=30)
        os.close(outer)


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return -1
