"""A run's log in SQL, `run_events`: rows in, events out. Who may write, and when, is decided in `event_log`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from peewee import chunked, fn

from app import db
from app.domain.events import DRIVER, Event
from app.models import AgentRun, RunEvent

ROWS_PER_INSERT = 500
_PAGE = "SELECT seq, type, data, ts, src FROM run_events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?"
"""A page of a log. These are text because peewee's building them anew costs five times what the database does."""
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
    with db.reading():
        rows = _execute(_PAGE, (run_id, after, limit)).fetchall()
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
