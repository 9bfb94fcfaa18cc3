"""Reading a framed stream (`executor.protocol`) whose bodies may be too large for memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from app.ports import ExecutorError


class FrameReader:
    """Header, then its body to the end, then the next header."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._held = b""

    def header(self) -> dict[str, Any] | None:
        """Return the next header, None at the end of the stream."""
        while b"\n" not in self._held:
            part = next(self._parts, b"")
            if not part:
                if self._held:
                    raise _torn()
                return None
            self._held += part
        line, _, self._held = self._held.partition(b"\n")
        header: dict[str, Any] = orjson.loads(line)
        return header

    def body(self, size: int) -> Iterator[bytes]:
        """Yield the body in parts and pass over the newline after it."""
        while size > 0:
            part = self._held[:size]
            self._held = self._held[size:]
            size -= len(part)
            yield part
            if size > 0:
                self._held = self._next()
        if not self._held:
            self._held = self._next()
        self._held = self._held[1:]

    def _next(self) -> bytes:
        part = next(self._parts, b"")
        if not part:
            raise _torn()
        return part


def _torn() -> ExecutorError:
    return ExecutorError("network", "/workspace/content", 1, 1, message="the stream ended in the middle")
