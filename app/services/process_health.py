"""The processes of the installation: each reports how its loops get on, and whoever asks sees which do not, and since when.

A process that is stopped, or whose machine is gone, reports nothing: its silence tells. One that is known to be dead is only missed
where no other of its kind lives, because somebody starts it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.errors import Unavailable
from app.log import logger
from app.ports import ProcessBoard, ProcessReport, SeenProcess
from app.services import holders
from app.services.progress import Progress

BEAT_SECONDS = 2.0
FORGET_SECONDS = 600.0
"""After so long a silent process of another machine is taken to be gone for good, if another of its kind lives."""

State = Literal["ok", "wedged", "gone"]


@dataclass(frozen=True, slots=True)
class ProcessState:
    """`seconds`: for how long it has not been well; `name` is host:pid:…, as in leases."""

    component: str
    name: str
    state: State
    seconds: float
    why: str
    streams: int = 0

    @property
    def short_name(self) -> str:
        return ":".join(self.name.split(":")[:2])


class Reporter:
    """Reports this process every BEAT_SECONDS, in a thread of its own, until `leave`."""

    def __init__(self, component: str, name: str, progress: Progress, board: ProcessBoard) -> None:
        self._component, self._name, self._progress, self._board = component, name, progress, board
        self._ended = threading.Event()
        self._started = time.time()
        self.streams: Callable[[], int] = lambda: 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def age(self) -> float:
        """Seconds since this process began."""
        return time.time() - self._started

    def start(self) -> None:
        threading.Thread(target=self._keep, name="reporter", daemon=True).start()

    def leave(self) -> None:
        """This process ends as it was told to: nobody is to miss it."""
        self._ended.set()
        try:
            self._board.remove([self._name])
        except Unavailable:
            logger.debug("board does not answer")

    def report(self) -> None:
        """Report once."""
        stuck = self._progress.find_stuck()
        seconds, why = (stuck.seconds, f"{stuck.loop}: {stuck.why}") if stuck else (0.0, "")
        self._board.put(
            ProcessReport(self._component, self._name, self._started, stuck is not None, seconds, why, self.streams())
        )

    def _keep(self) -> None:
        begun = False
        while not self._ended.is_set():
            try:
                self.report()
                if not begun:
                    self._clear_predecessors()
                    begun = True
            except Unavailable:
                logger.debug("board does not answer")
            except Exception as error:  # noqa: BLE001 - without this thread the process would be taken for wedged
                logger.warning("process not reported", error=repr(error))
            self._ended.wait(BEAT_SECONDS)
        if begun and self._ended.is_set():
            self.leave()  # once more: a report may have been on its way

    def _clear_predecessors(self) -> None:
        own = [seen for seen in self._board.list() if seen.report.component == self._component]
        gone = [seen.report.name for seen in own if holders.is_dead(seen.report.name) or seen.silent > FORGET_SECONDS]
        if gone:
            self._board.remove(gone)


def look(board: ProcessBoard, silent_seconds: float, *, awake_seconds: float = float("inf")) -> list[ProcessState]:
    """Return the processes that have reported. Raises Unavailable. `awake_seconds`: how long whoever asks has been running; a process
    that ended before that is given time to come back."""
    seen = board.list()
    dead = {each.report.name for each in seen if holders.is_dead(each.report.name)}
    live = {each.report.component for each in seen if each.report.name not in dead and each.silent < FORGET_SECONDS}
    states = [_state(each, silent_seconds) for each in seen if each.report.name not in dead and _counts(each, live)]
    return states + _missed([each for each in seen if each.report.name in dead], live, silent_seconds, awake_seconds)


def require(board: ProcessBoard, component: str, silent_seconds: float) -> None:
    """Raise Unavailable unless a process of this kind reports that it gets on."""
    alive = [state for state in look(board, silent_seconds) if state.component == component and state.state == "ok"]
    if not alive:
        raise Unavailable("process_missing", f"No process of {component} gets on.", remedy="Look at `make status`.")


def _counts(seen: SeenProcess, live: set[str]) -> bool:
    return seen.silent < FORGET_SECONDS or seen.report.component not in live


def _state(seen: SeenProcess, silent_seconds: float) -> ProcessState:
    report = seen.report
    if seen.silent > silent_seconds:
        return ProcessState(report.component, report.name, "wedged", seen.silent, "it is silent")
    if report.stuck:
        seconds = report.stuck_seconds + seen.silent
        return ProcessState(report.component, report.name, "wedged", seconds, report.why, report.streams)
    return ProcessState(report.component, report.name, "ok", 0.0, "", report.streams)


def _missed(
    dead: Sequence[SeenProcess], live: set[str], silent_seconds: float, awake_seconds: float
) -> list[ProcessState]:
    """Return the last one of each kind of which none lives any more."""
    last: dict[str, SeenProcess] = {}
    for each in dead:
        if each.report.component not in live:
            known = last.get(each.report.component)
            last[each.report.component] = min(known, each, key=lambda seen: seen.silent) if known else each
    return [
        ProcessState(each.report.component, each.report.name, "gone", each.silent, "none of its kind runs")
        for each in last.values()
        if min(each.silent, awake_seconds) > silent_seconds
    ]
