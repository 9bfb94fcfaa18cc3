"""Following one run on the terminal: its events as they come, what it asks, Ctrl-C. Used by `run` and `tail`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cli import errors, screen
from cli.asking import Asking, Terminal, show_how_to_reply
from cli.errors import CommandFailed
from cli.people import People
from cli.screen import RunScreen

if TYPE_CHECKING:
    from cli.client import Client

Json = Mapping[str, Any]
DETACHED = 130  # what shells report for a command that Ctrl-C ended
LONGEST_STOP_SECONDS = 10.0
READ_AHEAD = 200
"""Events that wait to be shown. Beyond them the stream is not read: a terminal is slower than an agent that floods."""
_INTERRUPT = "interrupt"
_END = "end"


@dataclass
class Following:
    """One run being followed. `asks`: requests are put to the person at this terminal. `stops`: the first Ctrl-C stops the
    run, the second lets go of it; otherwise the first one lets go."""

    client: Client
    run_id: str
    as_json: bool = False
    asks: bool = True
    stops: bool = True

    def __post_init__(self) -> None:
        self._queue: SimpleQueue[Any] = SimpleQueue()
        self._room = threading.Semaphore(READ_AHEAD)
        self._screen = RunScreen(name_of=People(self.client, self.run_id).name_of)
        self._asking = Asking(self._screen)
        self._terminal = Terminal()
        self._interrupts = 0
        self._stopper: threading.Thread | None = None
        self._last = 0

    def run(self, cursor: int = 0) -> int:
        """Show the run to its end and return the exit code that tells its outcome (DETACHED after letting go)."""
        self._last = cursor
        threading.Thread(target=self._read, args=(cursor,), daemon=True).start()
        with self._catching_interrupts():
            while True:
                item = self._next()
                if item is _END:
                    return self._exit_code()
                if isinstance(item, Exception):
                    raise item
                if item is _INTERRUPT:
                    if self._interrupted():
                        return DETACHED
                elif item is not None:
                    self._room.release()
                    self._take(item)

    def _read(self, cursor: int) -> None:
        """Runs in a thread of its own: the stream must go on while a person thinks."""
        try:
            for envelope in self.client.follow(self.run_id, cursor):
                self._room.acquire()
                self._queue.put(envelope)
        except CommandFailed as error:
            self._queue.put(error)
        except Exception as error:  # noqa: BLE001 - carried over to the main thread, which raises it
            self._queue.put(error)
        else:
            self._queue.put(_END)

    def _next(self) -> Any:
        """Return the next thing that happened, None when nothing did for a moment."""
        if not self._terminal.is_there or not (self._asking.is_open or self._terminal.has_ended):
            return self._queue.get()
        try:
            return self._queue.get_nowait()
        except Empty:
            line = self._terminal.read_line(0.1)
        self._take_typed(line)
        return None

    def _take(self, envelope: Json) -> None:
        self._last = int(envelope["seq"])
        if self.as_json:
            screen.show_json(envelope)
            self._screen.status = _status_in(envelope) or self._screen.status
            return
        self._screen.show(envelope)
        data = envelope.get("data") or {}
        if envelope["type"] == "human_loop.requested":
            self._on_request(data)
        elif envelope["type"] == "human_loop.resolved":
            self._asking.close(str(data.get("requestId")))

    def _on_request(self, request: Json) -> None:
        """Ask only what is still open: a replayed log holds requests that were answered long ago."""
        pending = self.client.pages("/api/human-loop/pending", 500, runId=self.run_id)
        if not any(item["requestId"] == request["requestId"] for item in pending):
            return
        if self.asks and self._terminal.is_there and not self._terminal.has_ended:
            self._asking.ask(request)
        else:
            show_how_to_reply(self._screen, request)

    def _reply(self, line: str) -> None:
        body = self._asking.take(line)
        if body is None:
            return
        try:
            answer = self.client.post("/api/human-loop/reply", body)
        except CommandFailed as error:
            screen.show_failure(error, as_json=False)
        else:
            if answer.get("duplicate"):
                who = escape(screen.clean(answer.get("byName") or "somebody"))
                self._screen.line(f"[yellow]{who} had answered before; that answer holds[/]")
        self._asking.close(str(body["requestId"]))

    def _take_typed(self, line: str | None) -> None:
        """Take a line as an answer; after Ctrl-D it is none, and the person must hear so and learn how to answer."""
        if self._terminal.has_ended and self._asking.is_open:
            self._screen.line("\n[yellow]no more answers from here[/]: the request stays open, the run is followed on")
            for request in self._asking.leave_open():
                show_how_to_reply(self._screen, request)
        elif self._terminal.has_ended and line is not None:
            self._screen.line(
                "[yellow]not taken as an answer[/] after Ctrl-D: paddock reply (paddock pending lists what waits)"
            )
        elif line is not None:
            self._reply(line)

    def _interrupted(self) -> bool:
        """Take a Ctrl-C; True when it is time to let go of the run."""
        self._interrupts += 1
        if self.stops and self._interrupts == 1:
            screen.err.print("\nstopping the run… (Ctrl-C again lets go of it)")
            self._stopper = threading.Thread(target=self._stop, daemon=True)
            self._stopper.start()
            return False
        if self._stopper is not None:
            self._stopper.join(LONGEST_STOP_SECONDS)  # the wish to stop must have left before we do
        word = "is being stopped" if self._stopper is not None else "goes on"
        screen.err.print(f"\nthe run {word}: paddock tail {self.run_id} --cursor {self._last}")
        return True

    def _stop(self) -> None:
        try:
            self.client.post(f"/api/runs/{self.run_id}/stop")
        except CommandFailed as error:
            screen.show_failure(error, as_json=self.as_json)

    def _exit_code(self) -> int:
        status = self._screen.status
        if status not in errors.EXIT_CODES:  # the cursor was behind the end, or the run was canceled before it started
            status = str(self.client.get(f"/api/runs/{self.run_id}")["status"])
        return errors.EXIT_CODES.get(status, errors.FAILED)

    @contextmanager
    def _catching_interrupts(self) -> Iterator[None]:
        def handle(_number: int, _frame: FrameType | None) -> None:
            self._queue.put(_INTERRUPT)  # a SimpleQueue may be put into while this same thread gets from it

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _status_in(envelope: Json) -> str:
    if envelope["type"] in ("run.finished", "run.status"):
        return str((envelope.get("data") or {}).get("status", ""))
    return ""
