"""The watchdog of an agent that says nothing. Silence alone proves nothing: a command may run for an hour without a word, a model may
think for minutes, a person may be asked. So it looks at three things: the journal, the tool calls that are open, and the calls of the
model that the proxy knows of. An agent without any of them hangs.

Where the model proxy is off nobody sees the model's calls: silence in the journal, without an open tool call, is all there is.
"""

from __future__ import annotations

import time

from app.domain.run_state import RunStatus
from app.services import metering
from app.services.run_attempt import Attempt

LOOKS = 20
"""While a model's call is open it is looked at again after this part of the limit."""


class Silence:
    """The clock of one holder for one attempt. `seconds`: how long an agent may say nothing while it does nothing; 0: for ever."""

    def __init__(self, run_id: str, attempt: Attempt, seconds: float) -> None:
        self._run_id, self._attempt, self._seconds = run_id, attempt, seconds
        self._due_at = 0.0
        self.heard()

    def heard(self) -> None:
        """Something came from the agent, or was sent to it."""
        self._due_at = time.monotonic() + self._seconds

    def is_too_long(self) -> bool:
        if not self._seconds:
            return False
        if self._attempt.status != RunStatus.RUNNING or self._attempt.has_open_tool:
            self.heard()
        if time.monotonic() < self._due_at:
            return False
        if not metering.is_calling(self._run_id, self._attempt.number, within_seconds=self._seconds):
            return True
        self._due_at = time.monotonic() + self._seconds / LOOKS
        return False
