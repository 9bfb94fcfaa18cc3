"""Pages of a run's log for people who look through it: from either end, of some types of events alone, however long it is. Reading on
without a gap while it grows is `log_reader`'s; here the part that SQL has is found by its index, and what only Redis has is short."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.domain.events import Event, EventType
from app.models import AgentRun
from app.services import log_rows
from app.services.log_reader import LogReader

MOST_FRESH = 2000
"""Events that may be in Redis before they are in SQL; what is beyond comes with the next page."""


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events in their order. `next_seq` is the last that was looked at, None at the end of a closed log: what follows is behind it.
    `previous_seq`, where a page was read from its end: what came before lies before it, None where that is nothing."""

    events: list[Event]
    next_seq: int | None
    previous_seq: int | None = None


class LogPages:
    """The pages of one run's log; `run` is a row as it is now. `types`: those wanted, none for all."""

    def __init__(self, reader: LogReader, run: AgentRun, types: Collection[str]) -> None:
        self._reader, self._run, self._types = reader, run, frozenset(types)
        self._saved = int(run.last_seq)

    def after(self, cursor: int, limit: int) -> LogPage:
        """Return up to `limit` events behind a cursor."""
        if not self._types:
            events = self._reader.read(self._run.id, cursor, limit)
            return LogPage(events, self._next(events, events[-1].seq if events else cursor))
        seqs = log_rows.seqs_of(self._run.id, self._types, (cursor, self._saved + 1), limit=limit)
        found = log_rows.read_seqs(self._run.id, seqs)
        if len(found) == limit:
            return LogPage(found, self._next(found, found[-1].seq))
        fresh = self._fresh(max(cursor, self._saved))
        found += [event for event in fresh if event.type in self._types][: limit - len(found)]
        last = found[-1].seq if len(found) == limit else fresh[-1].seq if fresh else max(cursor, self._saved)
        return LogPage(found, self._next(fresh, last))

    def before(self, end: int | None, limit: int) -> LogPage:
        """Return the last `limit` events before a seq; None: of the whole log."""
        fresh = self._fresh(self._saved) if end is None or end > self._saved + 1 else []
        if end is not None:
            fresh = [event for event in fresh if event.seq < end]
        last = fresh[-1].seq if fresh else min(self._saved, end - 1) if end is not None else self._saved
        wanted = [event for event in fresh if not self._types or event.type in self._types]
        found = (self._saved_before(min(last, self._saved) + 1, limit + 1 - len(wanted)) + wanted)[-limit - 1 :]
        events = found[-limit:]
        return LogPage(events, self._next(fresh, last), events[0].seq if len(found) > limit else None)

    def _saved_before(self, end: int, limit: int) -> list[Event]:
        if limit <= 0:
            return []
        if not self._types:
            return log_rows.read_back(self._run.id, end, limit)[::-1]
        seqs = log_rows.seqs_of(self._run.id, self._types, (0, end), limit=limit, newest=True)
        return log_rows.read_seqs(self._run.id, seqs)

    def _fresh(self, after: int) -> list[Event]:
        """Return what the log has behind what the row knew of."""
        return [] if self._run.finished_at is not None else self._reader.read(self._run.id, after, MOST_FRESH)

    def _next(self, events: list[Event], last: int) -> int | None:
        """Return where to go on: nowhere once a closed log was looked at to its end."""
        is_over = self._run.finished_at is not None and last >= self._saved
        closes = bool(events) and events[-1].type == EventType.RUN_CLOSED and events[-1].seq <= last
        return None if is_over or closes else last
