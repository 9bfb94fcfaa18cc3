"""Putting many small objects into a store at once: each waits for its own disk or line, so they wait together."""

from __future__ import annotations

import io
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import BinaryIO, Self

from app.ports import ObjectStore

THREADS = 8
MOST_WAITING = 64
SMALL_BYTES = 256 * 1024
"""What is larger goes through as a stream, one at a time."""


class BlobUploads:
    """Use as a context: leaving it waits for every put, and raises what one of them raised."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: set[Future[None]] = set()

    def put(self, key: str, stream: BinaryIO, size: int) -> None:
        """Take the whole stream before it returns; the bytes are stored when the context is left."""
        if size > SMALL_BYTES:
            self._store.put(key, stream, size)
            return
        data = stream.read()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._waiting.add(self._pool.submit(self._store.put, key, io.BytesIO(data), len(data)))
        if len(self._waiting) >= MOST_WAITING:
            self._settle(wait(self._waiting, return_when=FIRST_COMPLETED).done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._settle(set(self._waiting))
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)

    def _settle(self, done: set[Future[None]]) -> None:
        self._waiting -= done
        for future in done:
            future.result()
