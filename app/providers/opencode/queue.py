"""Messages to OpenCode while it works. Its server takes a prompt at any time: the turn that runs goes on with it after the step it is
in, and one that comes too late for that begins a turn of its own, in the same process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.turn import Launch
from app.providers.opencode import wire
from app.providers.outbox import Outbox
from app.providers.steering import Steering


class Queue(Steering):
    """What was sent, until the model answers it: an answer names the newest message that it has seen as its parent."""

    def __init__(self, launch: Launch, outbox: Outbox, send: Callable[[str, str], None]) -> None:
        super().__init__(launch, outbox, self._steer)
        self._write = send
        self._unread: dict[str, str] = {}  # our name -> the server's id of the message, empty before it is known

    @property
    def is_waiting(self) -> bool:
        """True while the server has, or is about to have, a message that no answer has seen."""
        return bool(self._unread)

    def on_response(self, name: str, status: int) -> None:
        if 200 <= status < 300:
            self.taken(name)
        else:
            self._unread.pop(name, None)
            self.refused(name, f"its server answered {status}.")

    def on_part(self, part: Mapping[str, Any]) -> None:
        """Take a part of a user's message: ours is known by its mark."""
        name = wire.mark_of(part)
        if name in self._unread:
            self._unread[name] = str(part.get("messageID") or "")

    def on_answer(self, parent: str) -> None:
        """An answer to this message has begun: ids ascend, so it has seen all before it."""
        self._unread = {name: id_ for name, id_ in self._unread.items() if not id_ or id_ > parent}

    def _steer(self, name: str, text: str) -> None:
        self._unread[name] = ""
        self._write(name, text)
