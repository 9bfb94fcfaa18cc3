"""Texts and thoughts of one turn, for agents whose protocol names each piece of speech: deltas and wholes in, `message.*` and
`thinking.*` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.domain import jsontext
from app.domain.events import EventType
from app.domain.turn import Launch
from app.ids import derived_id
from app.providers.outbox import Outbox

SpeechKind = Literal["text", "thinking"]

_DELTA = {"text": EventType.MESSAGE_DELTA, "thinking": EventType.THINKING_DELTA}
_STOP = {"text": EventType.MESSAGE_STOP, "thinking": EventType.THINKING_STOP}


@dataclass(slots=True)
class _Said:
    id: str
    kind: SpeechKind
    parts: list[str] = field(default_factory=list)
    half: str = ""  # of a character, whose other half comes with the next delta


class Speech:
    """What is being said, by the agent's own name of it. What is said under a name is one message."""

    def __init__(self, launch: Launch, outbox: Outbox) -> None:
        self._launch, self._outbox = launch, outbox
        self._count = 0
        self._open: dict[str, _Said] = {}
        self._closed: set[str] = set()

    def delta(self, name: str, kind: SpeechKind, text: str) -> None:
        """Take more of what is said under this name; after its end there is no more."""
        if name not in self._closed:
            self._say(self._open.get(name) or self._begin(name, kind), text)

    def whole(self, name: str, kind: SpeechKind, text: str) -> None:
        """Take all of it, and end it. Where it is not what was streamed, what was streamed stands: readers have it."""
        if name in self._closed:
            return
        said = self._open.get(name) or self._begin(name, kind)
        streamed, text = "".join(said.parts), jsontext.joined(text)
        if text.startswith(streamed):
            said.half = ""  # it is in the whole text too
            self._say(said, text[len(streamed) :])
        self._end(name)

    def close(self, kind: SpeechKind | None = None) -> None:
        """End what is still open (of this kind) with the text that came."""
        for name in [name for name, said in self._open.items() if kind in (None, said.kind)]:
            self._end(name)

    def _begin(self, name: str, kind: SpeechKind) -> _Said:
        self._count += 1
        said = _Said(derived_id("msg", self._launch.run_id, self._launch.attempt, self._count), kind)
        self._open[name] = said
        return said

    def _say(self, said: _Said, text: str) -> None:
        text = jsontext.joined(said.half + text)
        said.half = jsontext.open_half(text)
        text = jsontext.sayable(text.removesuffix(said.half) if said.half else text)
        if text:
            said.parts.append(text)
            role = {"role": "assistant"} if said.kind == "text" else {}
            self._outbox.emit(_DELTA[said.kind], messageId=said.id, **role, text=text)

    def _end(self, name: str) -> None:
        said = self._open.pop(name)
        self._closed.add(name)
        if said.half:
            half, said.half = said.half, ""
            self._say(said, jsontext.sayable(half))
        if said.parts:
            self._outbox.emit(_STOP[said.kind], messageId=said.id, text="".join(said.parts))
