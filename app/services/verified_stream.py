"""A stream that knows what it must hold: the last byte is only given out when size and hash are right."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from typing import BinaryIO

from app.errors import AppError

_CHUNK = 1024 * 1024


class VerifiedStream(io.RawIOBase):
    """Reads `size` bytes of `source` and raises `damaged()` instead of the end where they are not those of `sha256`. Closes the
    source with itself where it is `owned`."""

    def __init__(
        self, source: BinaryIO, sha256: str, size: int, damaged: Callable[[], AppError], *, owned: bool = True
    ) -> None:
        super().__init__()
        self._owned = owned
        self._source, self._left, self._wanted, self._damaged = source, size, sha256, damaged
        self._hash = hashlib.sha256()
        if size == 0 and self._hash.hexdigest() != sha256:
            raise damaged()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if self._left == 0 or size == 0:
            return b""
        chunk = self._source.read(min(size, self._left))
        self._hash.update(chunk)
        self._left -= len(chunk)
        if not chunk or (self._left == 0 and self._hash.hexdigest() != self._wanted):
            raise self._damaged()
        return chunk

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        chunk = self.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed and self._owned:
            self._source.close()
        super().close()
