"""Counting tokens as they pass: bytes of an answer in, what it told of its usage out. Nothing is held back here and nothing changed;
`WithoutUsage` takes out the one chunk of a Chat stream that only the proxy asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import orjson

from app.domain.estimates import Said, complete
from app.domain.model_api import Protocol, Told, usage_of

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes. The end of a Responses stream holds the whole answer in one line."""
_ENDS = {"message_delta", "response.completed", "response.incomplete", "response.failed"}
_FAILURES = {"error", "response.failed"}
_WORDS = (b'"usage"', b'"delta"', b'"response.output_item.done"', b'"error"')
"""One of them is in every line that says something of usage, text or failure."""


class Meter:
    """Reads one answer. `told` is what is known of its usage, None as long as nothing is; `is_final` once the model's side has told
    the whole, `is_whole` once the protocol's own end of the answer has come, `is_refused` once that side says itself that it failed."""

    def __init__(self, protocol: Protocol, *, stream: bool, encoding: str = "") -> None:
        self._protocol, self._stream = protocol, stream
        self._unpack = zlib.decompressobj(wbits=47) if encoding in ("gzip", "x-gzip", "deflate") else None
        self.is_readable = encoding in ("", "identity", "gzip", "x-gzip", "deflate")
        self._held = bytearray()
        self.told: Told | None = None
        self.is_final = False
        self.is_whole = False
        self.is_refused = False
        self._said = Said()

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; True where `told` has changed by them."""
        if not self.is_readable:
            return False
        if self._unpack is not None:
            data = self._unpack.decompress(data)
        self._held += data
        if not self._stream or len(self._held) > LONGEST_LINE:
            return False
        changed = False
        *lines, rest = self._held.split(b"\n") if b"\n" in data else [self._held]
        if lines:
            self._held = bytearray(rest)
        for line in lines:
            changed |= self._take_line(bytes(line))
        return changed

    def end(self) -> bool:
        """The answer has ended; True where `told` has changed by that: of an answer that is no stream, all is told at its end."""
        if self._stream:
            return self._take_line(bytes(self._held))
        self.is_whole = True
        self.is_final = self._take(bytes(self._held))
        return self.is_final

    def used(self, body: bytes) -> Told | None:
        """Return what the call for `body` has used, when its answer is over: estimated where it was not told to its end. None where
        that side failed before it said anything."""
        if self.is_final or (self.is_refused and not self._said.tokens):
            return self.told
        return complete(self.told, body, self._said)

    def _take_line(self, line: bytes) -> bool:
        if not line.startswith(b"data:"):
            return False
        data = line[5:].strip()
        if data == b"[DONE]":
            self.is_whole = True
            return False
        self.is_whole |= b'"message_stop"' in data[:200]
        return self._take(data) if any(word in data for word in _WORDS) else False

    def _take(self, data: bytes) -> bool:
        try:
            event = orjson.loads(data)
        except ValueError:
            return False
        if not isinstance(event, dict):
            return False
        self._said.take(event)
        kind = event.get("type")
        self.is_refused |= kind in _FAILURES or bool(event.get("error"))
        told = usage_of(self._protocol, event)
        if told is None:
            return False
        self.is_final |= kind in _ENDS or (self._protocol == "chat" and _ends_choices(event))
        self.is_whole |= self._protocol == "responses" and kind in _ENDS
        self.told = {**(self.told or {}), **told}
        return True


def _ends_choices(chunk: dict[str, Any]) -> bool:
    """True for the chunk of a Chat stream that tells the usage of the whole; some servers tell it as it grows."""
    choices = chunk.get("choices")
    return not choices or any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)


class WithoutUsage:
    """Passes the events of a Chat stream on, but for the one that carries usage and no choices."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what may be passed on by now: whole events."""
        *events, self._held = (self._held + data).split(b"\n\n")
        return b"".join(event + b"\n\n" for event in events if not _is_usage(event))

    def end(self) -> bytes:
        return b"" if _is_usage(self._held) else self._held


def _is_usage(event: bytes) -> bool:
    return any(_tells_usage_alone(line) for line in _data_of(event))


def _data_of(event: bytes) -> Iterator[bytes]:
    for line in event.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()


def _tells_usage_alone(data: bytes) -> bool:
    if b'"usage"' not in data:
        return False
    try:
        chunk = orjson.loads(data)
    except ValueError:
        return False
    return isinstance(chunk, dict) and chunk.get("choices") == [] and bool(chunk.get("usage"))
