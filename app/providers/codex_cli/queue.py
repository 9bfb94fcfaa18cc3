"""Messages to Codex while it works. It puts them before the model's next call; where there is none, because the turn is at its end, it
only writes them into the thread, or refuses them. Another turn is begun for those that are left over so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.turn import Launch
from app.providers.outbox import Outbox
from app.providers.steering import Steering

GO_ON = "Continue."
NO_TURN = "no active turn"
"""How Codex says that there is nothing to steer any more."""


class Queue(Steering):
    """What was sent, until the model goes on behind it. `send(id, text)` sends one to the turn that runs."""

    def __init__(self, launch: Launch, outbox: Outbox, send: Callable[[str, str], None]) -> None:
        super().__init__(launch, outbox, self._steer)
        self._write = send
        self._unread: dict[str, str] = {}  # our name -> text
        self._shown: set[str] = set()  # of these: in the thread
        self._has_turn = False

    def open(self) -> None:
        """There is a turn; it gets what came while there was none."""
        if not self._has_turn:
            self._has_turn = True
            for name, text in self._unread.items():
                self._write(name, text)
            super().open()

    def leave(self) -> str:
        """The turn is over, and another begins with what is returned; empty where nothing is left over."""
        self._has_turn = False
        left, shown = self._unread, self._shown
        self._unread, self._shown = {}, set()
        for name in left:
            self.taken(name)
        unsaid = [text for name, text in left.items() if name not in shown]
        return "\n\n".join(unsaid) or (GO_ON if left else "")

    def on_answer(self, name: str, line: Mapping[str, Any]) -> None:
        if "error" not in line:
            self.taken(name)
        elif name in self._unread and NO_TURN not in str(line["error"].get("message")):
            del self._unread[name]
            self._shown.discard(name)
            self.refused(name, str(line["error"].get("message")))

    def on_message(self, item: Mapping[str, Any]) -> None:
        """A message of a user's is in the thread."""
        name = str(item.get("clientId") or "")
        if name in self._unread:
            self._shown.add(name)
            self.taken(name)

    def on_progress(self) -> None:
        """The model has said or done something: it has seen what is in the thread."""
        for name in self._shown:
            del self._unread[name]
        self._shown.clear()

    def _steer(self, name: str, text: str) -> None:
        self._unread[name] = text
        if self._has_turn:
            self._write(name, text)
