"""Messages of people to the turn that runs, from the `ctl` record to the agent's word that it has them. The same for every agent; how
one is sent is the adapter's, given as `send`.

What the agent has taken is told as a message of role `user`, at the place where it came; what it refused, as a warning. Nothing is told
of what it never answered for: that is the platform's, which tells the next attempt, or says at the end of the run that it came too late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.events import NOT_STEERED, EventType
from app.domain.turn import Launch
from app.ids import derived_id
from app.providers.outbox import Outbox


class Steering:
    """What a turn was told beside its prompt. `send(id, text)` is called once for each, when the turn is there to take it."""

    def __init__(self, launch: Launch, outbox: Outbox, send: Callable[[str, str], None]) -> None:
        self._launch, self._outbox, self._send = launch, outbox, send
        self._kept: dict[str, Mapping[str, Any]] = {}
        self._sent: dict[str, Mapping[str, Any]] = {}  # and not answered for
        self._is_open = self._is_closed = False

    @property
    def unanswered(self) -> bool:
        """True while something was sent that the agent has not answered for."""
        return bool(self._sent)

    def take(self, control: Mapping[str, Any]) -> None:
        """Take a message: it is sent at once, or when the turn is there."""
        if self._is_closed or self._outbox.finished:
            return
        name = str(control["id"])
        if self._is_open:
            self._sent[name] = control
            self._send(name, str(control["text"]))
        else:
            self._kept[name] = control

    def open(self) -> None:
        """The turn is there: send what came before it."""
        if not self._is_open and not self._is_closed:
            self._is_open = True
            kept, self._kept = self._kept, {}
            for control in kept.values():
                self.take(control)

    def close(self) -> None:
        """The turn is being stopped: nothing more is sent."""
        self._is_closed = True

    def taken(self, name: str) -> None:
        """The agent has this one; what it was never sent, or has answered for, changes nothing."""
        control = self._sent.pop(name, None)
        if control is None:
            return
        by = {"by": control["by"]} if control.get("by") else {}
        message_id = derived_id("msg", self._launch.run_id, self._launch.attempt, name)
        text = str(control["text"])
        self._outbox.emit(EventType.MESSAGE_STOP, messageId=message_id, role="user", text=text, commandId=name, **by)

    def refused(self, name: str, why: str) -> None:
        """The agent does not take this one."""
        if self._sent.pop(name, None) is not None:
            message = f"The agent did not take a message: {why}. Send it as a message of its own; it is queued behind this run."
            self._outbox.emit(EventType.RUN_WARNING, code=NOT_STEERED, message=message, commandId=name)
