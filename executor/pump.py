"""One thread per agent that moves bytes between its pipes and its journal: lines in order, silence, back-pressure, the end."""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from collections import deque

from executor.journal import Journal
from executor.lines import Line, LineCutter
from executor.refusal import Refused
from executor.settings import Limits
from executor.shedding import Shedder
from executor.spawner import Child

_CHUNK = 64 * 1024
_SHEDDING_PAUSE = 0.001
"""After each chunk of a flood that is not recorded: others want to work, too."""


class Pump:
    """Owns the child's pipes and the right to close the journal."""

    def __init__(self, child: Child, journal: Journal, limits: Limits) -> None:
        self._child, self._journal, self._limits = child, journal, limits
        self._cutters = {
            child.stdout: LineCutter("out", limits.line_bytes),
            child.stderr: LineCutter("err", limits.line_bytes),
        }
        self._input: deque[memoryview] = deque()
        self._input_bytes = 0
        self._stdin_open = True
        self._selector = selectors.DefaultSelector()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._output_at: float | None = None  # monotonic; None once its silence has been recorded
        self._paused = False
        self._shedder: Shedder | None = None
        self._most_unacknowledged = limits.unacknowledged_bytes
        self._done = threading.Event()
        self._wake_lock = threading.Lock()
        for descriptor in (child.stdin, child.stdout, child.stderr):
            os.set_blocking(descriptor, False)

    def start(self) -> None:
        self._child.on_end = self.wake
        self._journal.on_read = self._wake_if_paused
        threading.Thread(target=self._run, name="pump", daemon=True).start()

    def wake(self) -> None:
        """Make the thread look again: there is input, room in the journal, or the process has ended."""
        with self._wake_lock:
            if not self._done.is_set():
                os.eventfd_write(self._wake_fd, 1)

    def write(self, line: bytes) -> None:
        """Queue a line for the agent; the caller has recorded it and holds the agent's lock."""
        self._input.append(memoryview(line + b"\n"))
        self._input_bytes += len(line) + 1
        self.wake()

    def check_room(self) -> None:
        """Refuse input while the agent has not read what was sent before."""
        if self._input_bytes > self._limits.stdin_bytes:
            raise Refused(503, "input_full", "the agent does not read its input")

    def shed(self, text: list[str]) -> None:
        """Record no more lines of text (`Shedder`); what is recorded from now on has as much room again as there was."""
        self._most_unacknowledged = self._journal.unacknowledged_bytes + self._limits.unacknowledged_bytes
        self._shedder = Shedder(text)
        self.wake()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the journal is closed."""
        return self._done.wait(seconds)

    def _wake_if_paused(self) -> None:
        if self._paused:
            self.wake()

    # --- the thread ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        while not self._child.ended.is_set():
            self._arrange()
            ready = self._selector.select(self._patience())
            for key, _ in ready:
                self._attend(key.fd)
            self._note_silence()
        self._child.kill_tree()
        self._drain()
        self._keep([line for cutter in self._cutters.values() for line in cutter.finish()])
        self._tell_shed()
        self._close()

    def _arrange(self) -> None:
        """Listen to what can be served now: the pipes unless their reader is far behind or too much is unacknowledged, stdin
        while there is input."""
        self._paused = True  # whoever reads from here on wakes this thread
        self._paused = self._is_full()
        for descriptor in self._cutters:
            self._listen(descriptor, selectors.EVENT_READ, not self._paused)
        self._listen(self._child.stdin, selectors.EVENT_WRITE, bool(self._input) and self._stdin_open)

    def _is_full(self) -> bool:
        if self._journal.unread_bytes > self._limits.unread_bytes:
            return True
        return self._journal.unacknowledged_bytes > self._most_unacknowledged

    def _listen(self, descriptor: int, events: int, wanted: bool) -> None:
        registered = descriptor in self._selector.get_map()
        if wanted and not registered:
            self._selector.register(descriptor, events)
        elif registered and not wanted:
            self._selector.unregister(descriptor)

    def _patience(self) -> float | None:
        if self._output_at is None or self._paused:
            return None
        return max(0.0, self._output_at + self._limits.idle_seconds - time.monotonic())

    def _attend(self, descriptor: int) -> None:
        if descriptor == self._wake_fd:
            os.eventfd_read(self._wake_fd)
        elif descriptor == self._child.stdin:
            self._send()
        elif descriptor in self._cutters:
            self._receive(descriptor)

    def _receive(self, descriptor: int) -> bool:
        """Read once; False where there was nothing to read."""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return False
        cutter = self._cutters[descriptor]
        if not chunk:
            self._listen(descriptor, selectors.EVENT_READ, False)
            del self._cutters[descriptor]
            self._keep(cutter.finish())
            return False
        self._output_at = time.monotonic()
        self._keep(cutter.feed(chunk))
        if self._shedder is not None:
            time.sleep(_SHEDDING_PAUSE)
        return True

    def _send(self) -> None:
        while self._input and self._stdin_open:
            try:
                done = os.write(self._child.stdin, self._input[0])
            except BlockingIOError:
                return
            except OSError:  # the agent closed its stdin; what it was told stays recorded
                self._stdin_open = False
                return
            self._input_bytes -= done
            if done == len(self._input[0]):
                self._input.popleft()
            else:
                self._input[0] = self._input[0][done:]

    def _note_silence(self) -> None:
        if self._output_at is None or self._paused:
            return
        if time.monotonic() - self._output_at >= self._limits.idle_seconds:
            self._output_at = None
            self._keep([("idle", b"")])

    def _keep(self, lines: list[Line]) -> None:
        """Record lines; a full disk holds the agent up (nobody reads its pipes meanwhile) and loses nothing."""
        if self._shedder is not None:
            lines = self._shedder.kept(lines)
        while lines:
            try:
                self._journal.append_all(lines)
                return
            except OSError:
                time.sleep(0.5)

    def _drain(self) -> None:
        """Read what the dead tree left in the pipes; someone who escaped with a pipe in hand is not waited for."""
        deadline = time.monotonic() + self._limits.drain_seconds
        while self._cutters and time.monotonic() < deadline:
            received = [self._receive(descriptor) for descriptor in list(self._cutters)]
            if not any(received):
                time.sleep(0.002)

    def _tell_shed(self) -> None:
        """Record how much was not, and what the agent said last on stderr."""
        shedder, self._shedder = self._shedder, None
        if shedder is not None:
            told = {"type": "shed", "lines": shedder.lines, "bytes": shedder.bytes}
            self._keep([*shedder.last_words(), ("ctl", json.dumps(told).encode())])

    def _close(self) -> None:
        while True:
            try:
                self._journal.close(self._child.exit or "code:0")
                break
            except OSError:
                time.sleep(0.5)
        self._selector.close()
        with self._wake_lock:
            self._done.set()
            for descriptor in (self._wake_fd, self._child.stdin, self._child.stdout, self._child.stderr):
                os.close(descriptor)
