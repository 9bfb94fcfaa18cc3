"""What reaches a driver: journal records from its reader thread, and signals from everybody else."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from app.domain.journal import Record

LIMIT_BYTES = 256 * 1024
_RECORD_COST = 200  # bytes, about what a Record costs beside its data


@dataclass(frozen=True, slots=True)
class JournalEnded:
    """The journal was read to its `exit` record, or the executor is gone (`error`)."""

    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Wake:
    """Look again: a command may have come, a sync has ended, or the process is to stop."""


Item = Record | JournalEnded | Wake


class Inbox:
    """Records wait in bounded memory (`put_record` blocks: back-pressure down to the agent); a wake never blocks."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._items: deque[Record | JournalEnded] = deque()
        self._bytes = 0
        self._woken = False
        self._closed = False
        self._changed = threading.Condition()

    def put_record(self, record: Record) -> bool:
        """Add a record, waiting for room; False once the driver is gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._limit or self._closed)
            if self._closed:
                return False
            self._items.append(record)
            self._bytes += len(record.data) + _RECORD_COST
            self._changed.notify_all()
            return True

    def put_end(self, error: Exception | None) -> None:
        with self._changed:
            self._items.append(JournalEnded(error))
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def close(self) -> None:
        """The driver is gone: let the reader go too."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def has_record(self) -> bool:
        """True where the next item that is no signal is a record, and is here."""
        with self._changed:
            return bool(self._items) and isinstance(self._items[0], Record)

    def get(self, timeout: float) -> Item | None:
        """Return the next item, signals first; None after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken or self._items, timeout)
            if self._woken:
                self._woken = False
                return Wake()
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, Record):
                self._bytes -= len(item.data) + _RECORD_COST
                self._changed.notify_all()
            return item
