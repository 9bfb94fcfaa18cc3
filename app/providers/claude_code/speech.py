"""Texts and thoughts of one turn: stream events and whole blocks in, `message.*` and `thinking.*` out.

The CLI sends a block as stream events and, before the block's own `content_block_stop`, once more whole in an `assistant`
line; without streaming (a retry after a broken stream) only whole. Either way one block is one message here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.turn import Launch
from app.ids import derived_id
from app.providers.outbox import Outbox

BlockKind = Literal["text", "thinking"]

_DELTA = {"text": EventType.MESSAGE_DELTA, "thinking": EventType.THINKING_DELTA}
_STOP = {"text": EventType.MESSAGE_STOP, "thinking": EventType.THINKING_STOP}


@dataclass(slots=True)
class Block:
    id: str
    kind: BlockKind
    parts: list[str] = field(default_factory=list)
    half: str = ""  # of a character, whose other half comes with the next delta


class Speech:
    """The blocks that are streamed and not whole yet, in order."""

    def __init__(self, launch: Launch, outbox: Outbox) -> None:
        self._launch, self._outbox = launch, outbox
        self._count = 0
        self._by_index: dict[int, Block] = {}
        self._unfinished: deque[Block] = deque()

    def on_stream_event(self, event: Mapping[str, Any]) -> None:
        """Take one event of the API's own stream."""
        match event.get("type"):
            case "message_start":
                self.close()  # a stream that broke and is tried again
            case "content_block_start":
                self._start(int(event["index"]), event["content_block"])
            case "content_block_delta":
                delta = event["delta"]
                block = self._by_index.get(int(event["index"]))
                if block is not None:
                    self._say(block, str(delta.get("text") or delta.get("thinking") or ""))

    def on_block(self, kind: BlockKind, text: str) -> None:
        """Take a whole block; it finishes the streamed one of its kind, or stands for itself."""
        block = next((each for each in self._unfinished if each.kind == kind), None) or self._new(kind)
        said, text = "".join(block.parts), jsontext.joined(text)
        if text.startswith(said):
            block.half = ""  # it is in the whole text too
            self._say(block, text[len(said) :])
        self._finish(block)

    def close(self) -> None:
        """End what is still open with the text that came."""
        for block in list(self._unfinished):
            self._finish(block)
        self._by_index.clear()

    def _start(self, index: int, content: Mapping[str, Any]) -> None:
        match content.get("type"):
            case "text" | "thinking" as kind:
                self._by_index[index] = self._new(kind)
                self._say(self._by_index[index], str(content.get(kind) or ""))

    def _new(self, kind: BlockKind) -> Block:
        self._count += 1
        block = Block(derived_id("msg", self._launch.run_id, self._launch.attempt, self._count), kind)
        self._unfinished.append(block)
        return block

    def _say(self, block: Block, text: str) -> None:
        text = jsontext.joined(block.half + text)
        block.half = jsontext.open_half(text)
        text = jsontext.sayable(text.removesuffix(block.half) if block.half else text)
        if text:
            block.parts.append(text)
            role = {"role": "assistant"} if block.kind == "text" else {}
            self._outbox.emit(_DELTA[block.kind], messageId=block.id, **role, text=text)

    def _finish(self, block: Block) -> None:
        self._unfinished.remove(block)
        if block.half:
            half, block.half = block.half, ""
            self._say(block, jsontext.sayable(half))
        if block.parts:
            self._outbox.emit(_STOP[block.kind], messageId=block.id, text="".join(block.parts))
