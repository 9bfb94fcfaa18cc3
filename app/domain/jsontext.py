"""JSON as agents write it: valid, but holding what UTF-8 cannot say. A lone surrogate (`\\ud83d` without its other half, as
something that slices UTF-16 makes it) is legal in JSON text and in no encoding; the line that holds it must not be lost."""

from __future__ import annotations

import json
from typing import Any

import orjson

REPLACEMENT = "\ufffd"


def parse(data: bytes) -> Any:
    """Return the value of JSON; strings may hold lone surrogates. Raises ValueError where it is not JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data.decode("utf-8", "replace"))


def encode(value: Any) -> bytes:
    """Return JSON on one line; lone surrogates go out as the escapes they came in as."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def joined(text: str) -> str:
    """Return text in which the halves of a character that met are one character; a half that is alone stays."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def open_half(text: str) -> str:
    """Return the half of a character that the text ends with, whose other half may follow; "" where there is none."""
    return text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""


def sayable(value: Any) -> Any:
    """Return the value with U+FFFD for each half of a character that stayed alone, however deep it lies."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {sayable(key): sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sayable(item) for item in value]
    return value


def closed(text: str) -> bytes | None:
    """Return JSON whose object was cut off within its last member, a string, with a mark where it ends; None where it cannot be read."""
    for end in range(len(text), max(0, len(text) - 12), -1):  # a cut escape is at most twelve long
        whole = text[:end].encode("utf-8", "replace") + b'\\n[\xe2\x80\xa6 cut]"}'
        try:
            json.loads(whole)
        except ValueError:
            continue
        return whole
    return None
