"""What the death of an agent's process means for its attempt. What the agent says of its end is its adapter's."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from app.domain.failure import Failure, FailureCode
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome

KEPT_LINES = 20


class LastWords:
    """The last lines of stderr, for the message of a failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)

    def add(self, line: bytes) -> None:
        self._lines.append(line.decode("utf-8", "replace")[:2000])

    def __str__(self) -> str:
        return "\n".join(self._lines).strip()


Classify = Callable[[str], tuple[str, Failure] | None]
"""Reads an agent's last words; returns the stop reason and the failure where it knows them."""


def outcome_of_exit(record: Record, *, stopped: bool, spoke: bool, words: str, classify: Classify) -> Outcome:
    """Return the outcome of an attempt whose process ended before its turn did.

    `stopped`: a stop was asked before. `spoke`: the agent had said something. `classify` knows the agent's messages.
    """
    how = str(record.json().get("exit", ""))
    if how.startswith("spawn_failed"):
        return _failed(FailureCode.SETUP_FAILED, f"The agent could not be started: {how.partition(':')[2].strip()}")
    if stopped:
        return Outcome(RunStatus.CANCELED, "stopped")
    if how == "executor_lost":
        return _failed(FailureCode.SANDBOX_LOST, "The sandbox died with the agent in it.")
    known = classify(words)
    if known is not None:
        return Outcome(RunStatus.FAILED, *known)
    tail = f" Its last words: {words}" if words else ""
    if not spoke:
        return _failed(FailureCode.PROVIDER_NO_OUTPUT, f"The agent ended ({how}) without a word.{tail}")
    return _failed(FailureCode.INCOMPLETE, f"The agent ended ({how}) in the middle of its turn.{tail}")


def _failed(code: FailureCode, message: str) -> Outcome:
    return Outcome(RunStatus.FAILED, "error", Failure(code, message))
