"""Messages to Claude Code while it works. It queues them: where a tool's result goes to the model next, they go with it; a turn that
ends without is followed by one for them, in the same process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.turn import Launch
from app.providers.claude_code import wire
from app.providers.claude_code.identity import steer_uuid
from app.providers.outbox import Outbox
from app.providers.steering import Steering


class Queue(Steering):
    """What was sent, by what the CLI tells of it: queued, started, completed."""

    def __init__(self, launch: Launch, outbox: Outbox, send: Callable[[str, bytes], None]) -> None:
        super().__init__(launch, outbox, self._steer)
        self._write = send
        self._unread: dict[str, str] = {}  # uuid -> our name

    @property
    def is_waiting(self) -> bool:
        """True while something was sent that no turn has begun with."""
        return bool(self._unread)

    def on_lifecycle(self, line: Mapping[str, Any]) -> None:
        uuid = str(line.get("command_uuid"))
        if uuid not in self._unread:
            return
        self.taken(self._unread[uuid])
        if line.get("state") != "queued":
            del self._unread[uuid]

    def _steer(self, name: str, text: str) -> None:
        uuid = steer_uuid(self._launch, name)
        self._unread[uuid] = name
        self._write(f"steer:{name}", wire.user_message(text, uuid))
