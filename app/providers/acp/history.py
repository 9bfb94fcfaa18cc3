"""What a loaded conversation tells of itself, and what to send into it: the prompt, or to go on where it holds that already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.turn import Launch
from app.providers.acp.drafts import text_of


class History:
    """The messages of the user, as `session/load` replays them."""

    def __init__(self) -> None:
        self._messages: list[str] = []
        self._open: str | None = None  # the name of the message that goes on

    def add(self, update: Mapping[str, Any]) -> None:
        """Take an update of the replay."""
        if update.get("sessionUpdate") != "user_message_chunk":
            if update.get("sessionUpdate") in {"agent_message_chunk", "agent_thought_chunk", "tool_call"}:
                self._open = None
            return
        name, text = str(update.get("messageId") or ""), text_of(update.get("content"))
        if self._open == name and self._messages:
            self._messages[-1] += text
        else:
            self._messages.append(text)
        self._open = name

    def prompt_for(self, launch: Launch) -> str:
        """Return what the agent is told now. Only a second attempt can have sent the prompt before; the same words may be an earlier
        run's. Where the agent replays nothing of the user's, what was found on disk is believed."""
        resume = launch.resume
        if resume is None or launch.attempt == 1:
            return launch.prompt
        told = [text.strip() for text in self._messages]
        holds = launch.prompt.strip() in told if told else resume.has_prompt
        return resume.message if holds else launch.prompt
