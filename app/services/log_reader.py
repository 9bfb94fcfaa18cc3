"""Reading a run's log while it grows: from SQL what SQL has, the rest from Redis, without a gap. Following it live is the hub's
work (`web.hub`), writing it the holder's (`event_log`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.events import Event, EventType
from app.errors import Unavailable
from app.ports import EventStream
from app.services import log_rows

PAUSE_SECONDS = 1.0
"""After Redis did not answer it is not asked again for so long: readers of what SQL has should not wait for it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a log ends now. `sealed`: nothing will follow. Not `certain`: Redis did not answer, it may have more."""

    last: int
    sealed: bool
    certain: bool


class LogReader:
    """Reads logs for anybody; keeps nothing of them. Thread-safe."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream
        self._paused_until = 0.0

    def read(self, run_id: str, after: int, limit: int) -> list[Event]:
        """Return up to `limit` events with seq `after` + 1, `after` + 2, …: never with a gap."""
        found: list[Event] = []
        for _ in range(2):  # between the two reads SQL can take over from the stream, which is then trimmed
            found += _joined(log_rows.read(run_id, after + len(found), limit - len(found)), after + len(found))
            if len(found) >= limit or (found and found[-1].type == EventType.RUN_CLOSED):
                break
            last = after + len(found)
            fresh = self._read_stream(run_id, last, limit - len(found))
            found += _joined(fresh, last)
            if not fresh or fresh[0].seq == last + 1:
                break
        return found

    def position(self, run_id: str) -> int:
        """Return the last seq of a log, 0 where there is none."""
        return self.positions([run_id])[run_id].last

    def positions(self, run_ids: Sequence[str]) -> dict[str, Position]:
        """Return where each log ends, in one question to each store."""
        saved = log_rows.last_seqs(run_ids)
        tops = self._tops(run_ids)
        found = {}
        for run_id in run_ids:
            last, sealed = saved.get(run_id, (0, False))
            top = 0 if tops is None or sealed else tops[run_id]
            found[run_id] = Position(max(last, top), sealed, sealed or tops is not None)
        return found

    def _read_stream(self, run_id: str, after: int, limit: int) -> list[Event]:
        if time.monotonic() < self._paused_until:
            return []
        try:
            return self._stream.read(run_id, after, limit)
        except Unavailable:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            return []

    def _tops(self, run_ids: Sequence[str]) -> dict[str, int] | None:
        if time.monotonic() < self._paused_until:
            return None
        try:
            return self._stream.tops(run_ids)
        except Unavailable:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            return None


def _joined(events: Sequence[Event], after: int) -> list[Event]:
    """Return the events up to the first gap."""
    for index, event in enumerate(events):
        if event.seq != after + 1 + index:
            return list(events[:index])
    return list(events)
