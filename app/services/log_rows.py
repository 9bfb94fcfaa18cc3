"""A run's log in SQL, `run_events`: rows in, events out. Who may write, and when, is decided in `event_log`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from peewee import chunked, fn

from app import db
from app.domain.events import DRIVER, Event, EventType
from app.models import AgentRun, RunEvent

ROWS_PER_INSERT = 500
FLOOD = frozenset({EventType.MESSAGE_DELTA, EventType.THINKING_DELTA, EventType.TOOL_OUTPUT})
"""The types of pieces of texts."""
_PAGE = "SELECT seq, type, data, ts, src FROM run_events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?"
"""A page of a log. These are text because peewee's building them anew costs five times what the database does."""
_PAGE_BACK = "SELECT seq, type, data, ts, src FROM run_events WHERE run_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
"""A page of a log, from its end back."""
_ROWS = "SELECT seq, type, data, ts, src FROM run_events WHERE run_id = ? AND seq IN ({}) ORDER BY seq"
"""Some rows of a log."""
_IS_TOLD = "type NOT IN ('message.delta', 'thinking.delta', 'tool.output')"
"""As the index `run_events_told` has it, word by word: SQLite takes it for no other."""
_SEQS_OF_TOLD = (
    "SELECT * FROM (SELECT seq FROM run_events WHERE run_id = ? AND type = ? AND {told} AND seq > ? AND seq < ? "
    "ORDER BY seq {order} LIMIT ?) AS t{number}"
)
"""Where the events of one type lie: by its index alone."""
_SEQS_OF_FLOOD = (
    "SELECT * FROM (SELECT seq FROM run_events WHERE run_id = ? AND type IN ({types}) AND seq > ? AND seq < ? "
    "ORDER BY seq {order} LIMIT ?) AS flood"
)
"""Where the pieces of texts lie; a log is mostly these."""
_RESULTS = "SELECT seq, type, data, ts, src FROM run_events WHERE run_id = ? AND type = 'tool.result' AND {told} AND seq > ? AND ({any})"
"""The results of some calls."""
_ENDS = "SELECT id, last_seq, finished_at FROM agent_runs WHERE id IN ({})"
"""Where many logs end."""
_WEIGHT = "SELECT COUNT(*), COALESCE(SUM(LENGTH(data)), 0) FROM run_events WHERE run_id = ?"
_INSERT = "INSERT INTO run_events (run_id, seq, tenant_id, type, ts, src, data) VALUES "
_ROW = "(?, ?, ?, ?, ?, ?, ?)"


def insert(tenant_id: str, events: Sequence[Event]) -> None:
    """Add rows, in the caller's transaction."""
    for start in range(0, len(events), ROWS_PER_INSERT):
        chunk = events[start : start + ROWS_PER_INSERT]
        values: list[object] = []
        for event in chunk:
            data = orjson.dumps(event.data).decode()
            values += (event.run_id, event.seq, tenant_id, event.type, event.ts, event.src, data)
        _execute(_INSERT + ", ".join([_ROW] * len(chunk)), values)


def read(run_id: str, after: int, limit: int) -> list[Event]:
    """Return up to `limit` events with seq > `after`, in order."""
    return _read(run_id, _PAGE, (run_id, after, limit))


def read_back(run_id: str, before: int, limit: int) -> list[Event]:
    """Return up to `limit` events with seq < `before`, the newest first."""
    return _read(run_id, _PAGE_BACK, (run_id, before, limit))


def read_seqs(run_id: str, seqs: Sequence[int]) -> list[Event]:
    """Return these events, in order."""
    return _read(run_id, _ROWS.format(",".join("?" * len(seqs))), (run_id, *seqs)) if seqs else []


def seqs_of(
    run_id: str, types: Collection[str], between: tuple[int, int], *, limit: int, newest: bool = False
) -> list[int]:
    """Return up to `limit` seqs between two (without them) of events of these types: the first ones in order, or the newest first.
    However long the log, no more rows are read than types times `limit`, but for the pieces of texts, which lie everywhere."""
    flood = sorted(FLOOD & set(types))
    told = sorted(set(types) - FLOOD)
    order = "DESC" if newest else "ASC"
    parts = [_SEQS_OF_TOLD.format(told=_IS_TOLD, order=order, number=number) for number in range(len(told))]
    values: list[object] = [value for kind in told for value in (run_id, kind, *between, limit)]
    if flood:
        parts.append(_SEQS_OF_FLOOD.format(types=",".join("?" * len(flood)), order=order))
        values += [run_id, *flood, *between, limit]
    if not parts:
        return []
    sql = " UNION ALL ".join(parts) + f" ORDER BY seq {order} LIMIT ?"
    with db.reading():
        return [seq for (seq,) in _execute(sql, (*values, limit)).fetchall()]


def results_of(run_id: str, calls: Sequence[str], *, after: int) -> list[Event]:
    """Return the results behind `after` of these tool calls, in order."""
    holds = "instr(data, ?) > 0" if db.is_sqlite() else "strpos(data, ?) > 0"
    sql = _RESULTS.format(told=_IS_TOLD, any=" OR ".join([holds] * len(calls))) + " ORDER BY seq"
    found = _read(run_id, sql, (run_id, after, *(orjson.dumps(call).decode() for call in calls)))
    return [event for event in found if event.data.get("toolCallId") in calls]


def _read(run_id: str, sql: str, values: Sequence[object]) -> list[Event]:
    with db.reading():
        rows = _execute(sql, values).fetchall()
    return [Event(run_id, seq, kind, orjson.loads(data), ts, src) for seq, kind, data, ts, src in rows]


def extent(run_id: str) -> tuple[int, int]:
    """Return how many rows there are and the highest seq."""
    row: Any = RunEvent.select(fn.COUNT(RunEvent.seq), fn.MAX(RunEvent.seq)).where(RunEvent.run_id == run_id)
    count, last = row.tuples().get()
    return count, last or 0


def weight(run_id: str) -> tuple[int, int]:
    """Return how many rows there are and how long their data is."""
    with db.reading():
        count, size = _execute(_WEIGHT, (run_id,)).fetchone()
    return int(count), int(size)


def missing(run_id: str, last: int) -> list[int]:
    """Return those of 1 … `last` that have no row."""
    rows: Any = RunEvent.select(RunEvent.seq).where(RunEvent.run_id == run_id).tuples()
    found = {seq for (seq,) in rows}
    return [seq for seq in range(1, last + 1) if seq not in found]


def last_record(run_id: str, attempt: int) -> int:
    """Return the highest journal record of an attempt that has events; 0 where none has. Looks from the newest row back."""
    of_attempt = RunEvent.src.startswith(f"{attempt}:") & (RunEvent.src != f"{attempt}:{DRIVER}")
    query = RunEvent.select(RunEvent.src).where(RunEvent.run_id == run_id, of_attempt)
    with db.reading():
        row = query.order_by(RunEvent.seq.desc()).limit(1).tuples().first()
    return int(row[0].partition(":")[2]) if row else 0


def last_seq_of_holder(run_id: str, epoch: int) -> int | None:
    """Return SQL's last seq of an unfinished run; None where another epoch has it or it is finished."""
    with db.reading():
        row = (
            AgentRun.select(AgentRun.last_seq)
            .where(AgentRun.id == run_id, AgentRun.epoch == epoch, AgentRun.finished_at.is_null())
            .tuples()
            .first()
        )
    return row[0] if row else None


def last_seqs(run_ids: Sequence[str]) -> dict[str, tuple[int, bool]]:
    """Return SQL's last seq of each run that exists, and whether the run has ended."""
    found: dict[str, tuple[int, bool]] = {}
    for chunk in chunked(run_ids, ROWS_PER_INSERT):
        with db.reading():
            for run_id, last, finished_at in _execute(_ENDS.format(",".join("?" * len(chunk))), chunk):
                found[run_id] = (last, finished_at is not None)
    return found


def _execute(sql: str, parameters: Sequence[object]) -> Any:
    """Run a statement of this module; its `?` are made what the database wants."""
    database: Any = db.proxy.obj
    return database.execute_sql(sql.replace("?", database.param), tuple(parameters))
