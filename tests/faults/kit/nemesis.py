"""A nemesis: kills, stops and ends processes on a random schedule that its seed repeats, and writes down what it did and when.

Whom it may harm is looked up at the moment of each deed; starting others in their place is their keeper's work, as in life.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Act = Literal["kill", "term", "stop", "continue"]

_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP, "continue": signal.SIGCONT}


@dataclass(frozen=True, slots=True)
class Threat:
    """What is done to one of `find()`, about every `seconds` (half as long to half as long again). Who is stopped is continued
    after `hold_seconds`."""

    kind: str
    find: Callable[[], Collection[int]]
    seconds: float
    act: Act = "kill"
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done: `at` in POSIX seconds, to the process `pid`, which was a `kind`."""

    at: float
    act: Act
    kind: str
    pid: int


class Nemesis:
    """Harms for as long as its block lasts; at its end nobody is left stopped."""

    def __init__(self, *threats: Threat, seed: int) -> None:
        self.history: list[Deed] = []
        self._threats, self._random = threats, random.Random(seed)
        self._done = threading.Event()
        self._stopped: dict[int, tuple[float, str]] = {}  # pid -> when it is continued, what it is
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest()

    def rest(self) -> None:
        """Do no more harm."""
        self._done.set()
        self._thread.join()
        for pid in list(self._stopped):
            self._continue(pid)

    def count(self, act: Act, kind: str) -> int:
        return sum(deed.act == act and deed.kind == kind for deed in list(self.history))

    def _run(self) -> None:
        due = {place: self._after(threat) for place, threat in enumerate(self._threats)}
        while not self._done.is_set():
            moments = [*due.values(), *(at for at, _ in self._stopped.values())]
            self._done.wait(max(0.0, min(moments, default=time.monotonic() + 1) - time.monotonic()))
            now = time.monotonic()
            for pid in [pid for pid, (at, _) in self._stopped.items() if at <= now]:
                self._continue(pid)
            for place, threat in enumerate(self._threats):
                if due[place] <= now and not self._done.is_set():
                    self._strike(threat)
                    due[place] = self._after(threat)

    def _after(self, threat: Threat) -> float:
        return time.monotonic() + threat.seconds * self._random.uniform(0.5, 1.5)

    def _strike(self, threat: Threat) -> None:
        victims = sorted(set(threat.find()) - self._stopped.keys())
        if not victims:
            return
        pid = self._random.choice(victims)
        if self._send(pid, threat.act, threat.kind) and threat.act == "stop":
            self._stopped[pid] = (time.monotonic() + threat.hold_seconds, threat.kind)

    def _continue(self, pid: int) -> None:
        _, kind = self._stopped.pop(pid)
        self._send(pid, "continue", kind)

    def _send(self, pid: int, act: Act, kind: str) -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, _SIGNALS[act])
            self.history.append(Deed(time.time(), act, kind, pid))
            return True
        return False
