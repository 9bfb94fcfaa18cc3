"""Deaths planted in real processes of the product: at a named point the process that comes there kills itself (SIGKILL).

Nothing of this is in the product. Web is served from `tests.support.planted_web`, a worker is started by
`python -m tests.support.planted workers runs`: both patch the functions of `POINTS` in their own process, then go on as ever.
A point kills once it is armed: by a file of its name in the folder that `PLANTED_DEATHS` names, `POINT` or `POINT@RUN`. The one
process that dies renames the file, so that the next one lives.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.waiting import eventually

FOLDER = "PLANTED_DEATHS"
DIED = ".died"

Match = Callable[[tuple[Any, ...]], str | None]
"""From a call's arguments to the run it is about (`""`: any); None where the call is not meant."""


def _any(_: tuple[Any, ...]) -> str:
    return ""


def _answer(arguments: tuple[Any, ...]) -> str | None:
    """`Attempt.control(self, key, payload)` with a person's answer."""
    return str(arguments[0]._run.id) if arguments[1].startswith("answer:") else None


def _reply(arguments: tuple[Any, ...]) -> str | None:
    """`Attempt._act(self, intent)` that tells the agent the answer."""
    return str(arguments[0]._run.id) if arguments[1].key.startswith("reply:") else None


def _resolved(arguments: tuple[Any, ...]) -> str | None:
    """`RunLog.append(self, drafts, …)` with the receipt of an answer."""
    return arguments[0]._run_id if any(draft.type == "human_loop.resolved" for draft in arguments[1]) else None


def _steered(arguments: tuple[Any, ...]) -> str | None:
    """`Attempt._act(self, intent)` that tells the agent what a person said meanwhile."""
    return str(arguments[0]._run.id) if arguments[1].key.startswith("steer:") else None


def _taken(arguments: tuple[Any, ...]) -> str | None:
    """`RunLog.append(self, drafts, …)` with the agent's word that it has a message."""
    return arguments[0]._run_id if any("commandId" in draft.data for draft in arguments[1]) else None


@dataclass(frozen=True, slots=True)
class Point:
    """Before or after a call of `module:name`, where `match` says that it is the one."""

    target: str
    when: Literal["before", "after"]
    match: Match = _any


CREATION: Mapping[str, Point] = {
    "key-row-being-written": Point("app.services.idempotency:Found", "before"),
    "before-the-transaction": Point("app.services.run_creation:create", "before"),
    "inside-the-transaction": Point("app.services.run_creation:_insert", "after"),
    "run-and-key-written-not-committed": Point("app.services.idempotency:record", "after"),
    "after-commit-before-the-bell": Point("app.adapters.dramatiq_bell:DramatiqBell.ring_runs", "before"),
    "after-the-bell-before-the-answer": Point("app.adapters.dramatiq_bell:DramatiqBell.ring_runs", "after"),
    "answer-being-stored": Point("app.services.idempotency:settle", "before"),
    "answer-stored-not-sent": Point("app.services.idempotency:settle", "after"),
}
"""On the way of POST /api/runs/start through web."""
REPLY: Mapping[str, Point] = {
    "answer-committed-not-rung": Point("app.adapters.dramatiq_bell:DramatiqBell.ring_command", "before"),
    "answer-rung-not-told": Point("app.adapters.dramatiq_bell:DramatiqBell.ring_command", "after"),
}
"""On the way of POST /api/human-loop/reply through web."""
DELIVERY: Mapping[str, Point] = {
    "answer-read": Point("app.services.run_attempt:Attempt.control", "before", _answer),
    "answer-in-the-journal": Point("app.services.run_attempt:Attempt.control", "after", _answer),
    "answer-stepped": Point("app.services.run_attempt:Attempt._act", "before", _reply),
    "answer-delivered": Point("app.services.run_attempt:Attempt._act", "after", _reply),
    "receipt-seen": Point("app.services.event_log:RunLog.append", "before", _resolved),
    "receipt-written": Point("app.services.event_log:RunLog.append", "after", _resolved),
}
"""On the way of an answer through a worker to the agent."""
STEERING: Mapping[str, Point] = {
    "message-read": Point("app.services.run_attempt:Attempt.steer", "before", lambda given: str(given[0]._run.id)),
    "message-in-the-journal": Point(
        "app.services.run_attempt:Attempt.steer", "after", lambda given: str(given[0]._run.id)
    ),
    "message-stepped": Point("app.services.run_attempt:Attempt._act", "before", _steered),
    "message-delivered": Point("app.services.run_attempt:Attempt._act", "after", _steered),
    "word-seen": Point("app.services.event_log:RunLog.append", "before", _taken),
    "word-written": Point("app.services.event_log:RunLog.append", "after", _taken),
}
"""On the way of a message to a working agent through a worker."""
POINTS = {**CREATION, **REPLY, **DELIVERY, **STEERING}


class Deaths:
    """The test's side: arms points, and sees that somebody died there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.environment = {FOLDER: str(folder)}

    def arm(self, point: str, run_id: str = "") -> None:
        assert point in POINTS
        self._mark(point, run_id).with_suffix(DIED).unlink(missing_ok=True)
        self._mark(point, run_id).touch()

    def await_death(self, point: str, run_id: str = "") -> None:
        eventually(self._mark(point, run_id).with_suffix(DIED).exists, what=f"somebody dies at {point}")

    def _mark(self, point: str, run_id: str) -> Path:
        return self._folder / _name(point, run_id)


def plant() -> None:
    """Patch this process."""
    for name, point in POINTS.items():
        module, _, path = point.target.partition(":")
        owner: Any = importlib.import_module(module)
        *parents, attribute = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, attribute, _deadly(getattr(owner, attribute), name, point))


def _deadly(call: Callable[..., Any], name: str, point: Point) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **named: Any) -> Any:
        if point.when == "before":
            _die_if_armed(name, point.match(arguments))
        answer = call(*arguments, **named)
        if point.when == "after":
            _die_if_armed(name, point.match(arguments))
        return answer

    return wrapped


def _die_if_armed(point: str, run_id: str | None) -> None:
    if run_id is None:
        return
    for name in {_name(point, ""), _name(point, run_id)}:
        mark = Path(os.environ[FOLDER]) / name
        with suppress(FileNotFoundError):
            mark.rename(mark.with_suffix(DIED))
            os.kill(os.getpid(), signal.SIGKILL)


def _name(point: str, run_id: str) -> str:
    return f"{point}@{run_id}" if run_id else point


if __name__ == "__main__":
    plant()
    module, *rest = sys.argv[1:]
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
