"""Cutting a byte stream into lines, without ever holding a line that is too long."""

from __future__ import annotations

import json
from typing import Any

HEAD_BYTES = 4096
"""Of a line that is too long, how much its `cut` record tells."""
Line = tuple[str, bytes]
"""`(kind, data)` of a journal record: the stream's kind and the line without its newline, or `cut` and JSON."""


class LineCutter:
    """One stream of an agent. `kind` is `out` or `err`."""

    def __init__(self, kind: str, limit: int) -> None:
        self._kind, self._limit = kind, limit
        self._held = bytearray()
        self._size = 0
        self._digest: Any = None  # a running SHA-256, there while a line is longer than the limit
        self._head = b""

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that `chunk` completes."""
        found: list[Line] = []
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._hold(part)
            found.append(self._take())
        self._hold(rest)
        return found

    def finish(self) -> list[Line]:
        """Return what is left at the end of the stream: a line without a newline is a line too."""
        return [self._take()] if self._held or self._digest is not None else []

    def _hold(self, part: bytes) -> None:
        if self._digest is not None:
            self._digest.update(part)
            self._size += len(part)
        elif len(self._held) + len(part) > self._limit:
            import hashlib  # costs memory that an ordinary agent never needs

            self._digest = hashlib.sha256(self._held)
            self._digest.update(part)
            self._size = len(self._held) + len(part)
            self._head = bytes((self._held + part[:HEAD_BYTES])[: min(HEAD_BYTES, self._limit)])
            self._held = bytearray()
        else:
            self._held += part

    def _take(self) -> Line:
        if self._digest is not None:
            head = self._head.decode("utf-8", "replace")
            facts = {"size": self._size, "sha256": self._digest.hexdigest(), "stream": self._kind, "head": head}
            self._digest = None
            return "cut", json.dumps(facts).encode()
        line = bytes(self._held)
        self._held = bytearray()
        return self._kind, line
