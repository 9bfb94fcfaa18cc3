"""What a call has used where nobody told: its answer broke off before the usage came, or the model's side never tells any.

A token is taken to be three bytes: of the request for the input, all at the full price, and of the text that passed for the output.
English text has some four bytes to a token, program text and JSON three, so this errs on the side of too many. A picture counts the
same whatever its size. Thoughts that do not pass, and what the request only refers to, are not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.domain.model_api import Told

BYTES_PER_TOKEN = 3
PICTURE_TOKENS = 2000
_PICTURES = ("image", "image_url", "input_image")
_SILENT = frozenset({"type", "id", "role", "status", "call_id", "signature", "finish_reason"})
"""Names under which an answer holds what the model did not say."""
_SPEAKING = ("delta", "choices", "content", "output")
"""Names under which an event, or a whole answer, holds what it did: of all protocols."""


class Said:
    """The text of one answer so far, in bytes by its place: an item that comes whole repeats the pieces that came before it."""

    def __init__(self) -> None:
        self._bytes: dict[int, int] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event of a stream, or a whole answer, of any of the protocols."""
        index = event.get("output_index")
        place = index if isinstance(index, int) else 0
        before = self._bytes.get(place, 0)
        if event.get("type") == "response.output_item.done":
            self._bytes[place] = max(before, _weigh(event.get("item")))
        else:
            self._bytes[place] = before + sum(_weigh(event.get(name)) for name in _SPEAKING)

    @property
    def tokens(self) -> int:
        return _tokens(sum(self._bytes.values()))


def complete(told: Told | None, body: bytes, said: Said) -> Told:
    """Return what was told with what was not: of the input where nothing was, of the output where more passed. `estimated` says how
    many of the tokens nobody told."""
    known = told or {"input": _input_of(body)}
    output = max(known.get("output", 0), said.tokens)
    guessed = output - known.get("output", 0) + (0 if told else known["input"])
    return {**known, "output": output, "estimated": guessed}


def _input_of(body: bytes) -> int:
    """Return the tokens of a request, which is known to be JSON."""
    pictures = drawn = 0
    waiting: list[Any] = [orjson.loads(body)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict) and item.get("type") in _PICTURES:
            pictures, drawn = pictures + 1, drawn + _weigh(item)
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
    return _tokens(len(body) - drawn) + pictures * PICTURE_TOKENS


def _weigh(value: Any) -> int:
    """Return the bytes of all text in a value; however deep it is."""
    total, waiting = 0, [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            total += len(item.encode())
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            waiting.extend(value for name, value in item.items() if name not in _SILENT)
    return total


def _tokens(count: int) -> int:
    return -(-max(0, count) // BYTES_PER_TOKEN)
