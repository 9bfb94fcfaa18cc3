"""Texts and thoughts of one turn: stream events and whole blocks in, `message.*` and `thinking.*` out.

The CLI sends a block as stream events and, before the block's own `content_block_stop`, once more whole in an `assistant`
line; without streaming (a retry after a broken stream) only whole. Either way one block is one message here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.turn import Launch
from app.providers.outbox import Outbox
from app.providers.speech import Speech, SpeechKind


class Blocks:
    """The blocks that are streamed and not whole yet, in order."""

    def __init__(self, launch: Launch, outbox: Outbox) -> None:
        self._speech = Speech(launch, outbox)
        self._count = 0
        self._by_index: dict[int, str] = {}
        self._unfinished: dict[str, SpeechKind] = {}

    def on_stream_event(self, event: Mapping[str, Any]) -> None:
        """Take one event of the API's own stream."""
        match event.get("type"):
            case "message_start":
                self.close()  # a stream that broke and is tried again
            case "content_block_start":
                self._start(int(event["index"]), event["content_block"])
            case "content_block_delta":
                delta = event["delta"]
                name = self._by_index.get(int(event["index"]))
                if name is not None and name in self._unfinished:
                    said = str(delta.get("text") or delta.get("thinking") or "")
                    self._speech.delta(name, self._unfinished[name], said)

    def on_block(self, kind: SpeechKind, text: str) -> None:
        """Take a whole block; it finishes the streamed one of its kind, or stands for itself."""
        name = next((name for name, open_kind in self._unfinished.items() if open_kind == kind), None)
        name = name or self._begin(kind, "")
        del self._unfinished[name]
        self._speech.whole(name, kind, text)

    def close(self) -> None:
        """End what is still open with the text that came."""
        self._speech.close()
        self._unfinished.clear()
        self._by_index.clear()

    def _start(self, index: int, content: Mapping[str, Any]) -> None:
        match content.get("type"):
            case "text" | "thinking" as kind:
                self._by_index[index] = self._begin(kind, str(content.get(kind) or ""))

    def _begin(self, kind: SpeechKind, text: str) -> str:
        self._count += 1
        name = f"block {self._count}"
        self._unfinished[name] = kind
        self._speech.delta(name, kind, text)
        return name
