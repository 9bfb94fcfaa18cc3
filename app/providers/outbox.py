"""What one record's step collects: events and intents in order. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.failure import Failure
from app.domain.run_state import RunStatus
from app.domain.turn import EndAgent, Intent, Outcome, Step


class Outbox:
    """Filled by the parts of one turn, emptied into a `Step` after each record. The outcome is given once."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.finished = False
        self._events: list[tuple[str, Mapping[str, Any]]] = []
        self._intents: list[Intent] = []
        self._outcome: Outcome | None = None
        self._conversation_id: str | None = None
        self._warned: set[str] = set()

    def emit(self, type_: EventType, **data: Any) -> None:
        self._events.append((type_.value, jsontext.sayable(data)))

    def warn_once(self, code: str, message: str) -> None:
        """Emit a `run.warning`, at most one of each code in an attempt."""
        if code not in self._warned:
            self._warned.add(code)
            self.emit(EventType.RUN_WARNING, code=code, message=message)

    def intend(self, intent: Intent) -> None:
        self._intents.append(intent)

    def confirm(self, conversation_id: str) -> None:
        self._conversation_id = conversation_id

    def finish(self, status: RunStatus, stop_reason: str, failure: Failure | None = None) -> None:
        """Give the outcome and end the process; later calls change nothing."""
        if not self.finished:
            self.finished = True
            self._outcome = Outcome(status, stop_reason, failure)
            self.intend(EndAgent(f"end:{self.attempt}"))

    def finish_dead(self, outcome: Outcome) -> None:
        """Give the outcome of a process that is gone already."""
        if not self.finished:
            self.finished = True
            self._outcome = outcome

    def take(self) -> Step:
        """Return what has been collected, and start anew."""
        step = Step(tuple(self._events), tuple(self._intents), self._outcome, self._conversation_id)
        self._events, self._intents, self._outcome, self._conversation_id = [], [], None, None
        return step
