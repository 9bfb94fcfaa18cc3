"""The checker of a run's log: do SQL, Redis and what clients got agree, with each other and with what was promised? It only
reads. Used by tests and fault runs; a finding is a defect of Paddock, never of a user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson

from app import ids
from app.domain.events import Event, EventType, envelope
from app.models import AgentRun
from app.ports import EventStream, StreamEntry
from app.services import log_rows
from app.services.run_output import TRUNCATED

Envelope = Mapping[str, Any]
ALL = 10_000_000

_WHOLE_OF = {EventType.MESSAGE_DELTA: EventType.MESSAGE_STOP, EventType.THINKING_DELTA: EventType.THINKING_STOP}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where: `sql`, `redis`, or `client <n>`."""

    code: str
    where: str
    seq: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Log:
    """Everything that is known of one log. `entries` is the stream as it lies, with markers; empty where it is gone."""

    run: AgentRun
    rows: Sequence[Event]
    entries: Sequence[StreamEntry]
    transcripts: Sequence[Sequence[Envelope]] = field(default=())

    @property
    def ended(self) -> bool:
        return self.run.finished_at is not None


def check(run_id: str, stream: EventStream, transcripts: Sequence[Sequence[Envelope]] = ()) -> list[Finding]:
    """Read both stores and return what is wrong. A transcript is what one client got over all its connections, in order;
    it may begin and end anywhere in the log."""
    run = AgentRun.get_by_id(run_id)
    if run.log_removed_at is not None:
        return []  # retention let go of it
    return list(findings(Log(run, log_rows.read(run_id, 0, ALL), stream.entries(run_id), transcripts)))


def findings(log: Log) -> Iterator[Finding]:
    """Yield what is wrong with a log."""
    events = [_event_of(log.run.id, entry) for entry in log.entries if entry.seq > 0]
    yield from _check_order([event.seq for event in log.rows], "sql", first=1)
    yield from _check_counts(log)
    yield from _check_markers(log.entries)
    yield from _check_order([event.seq for event in events], "redis", first=None)
    yield from _check_stores(log, events)
    for where, found in (("sql", log.rows), ("redis", events)):
        yield from _check_end(found, where)
    archive = _archive(log.rows, events)
    yield from _check_records(archive)
    yield from _check_texts(archive)
    for number, transcript in enumerate(log.transcripts, 1):
        yield from _check_transcript(log, archive, transcript, f"client {number}")


def _check_order(seqs: Sequence[int], where: str, first: int | None) -> Iterator[Finding]:
    if seqs and first is not None and seqs[0] != first:
        yield Finding("gap", where, seqs[0], f"begins with {seqs[0]} instead of {first}")
    for before, after in pairwise(seqs):
        if after > before + 1:
            yield Finding("gap", where, after, f"{after} follows {before}")
        elif after <= before:
            yield Finding("double", where, after, f"{after} follows {before}")


def _check_counts(log: Log) -> Iterator[Finding]:
    if len(log.rows) != log.run.last_seq:
        yield Finding("count", "sql", log.run.last_seq, f"{len(log.rows)} rows, last_seq is {log.run.last_seq}")
    closed = bool(log.rows) and log.rows[-1].type == EventType.RUN_CLOSED
    if closed != log.ended:
        yield Finding("end", "sql", log.run.last_seq, f"status is {log.run.status}, run.closed is {closed}")


def _check_markers(entries: Sequence[StreamEntry]) -> Iterator[Finding]:
    epoch, highest = 0, 0
    last: int | None = None  # what the next event follows; unknown where the begin was trimmed
    for entry in entries:
        if entry.epoch < epoch:
            yield Finding("epoch_order", "redis", entry.seq, f"epoch {entry.epoch} after epoch {epoch}")
        if entry.seq == 0:
            goes_on_from = int(entry.fields["last"])
            if last is not None and goes_on_from != last:
                code = "old_epoch" if highest > goes_on_from else "marker"
                message = f"epoch {entry.epoch} goes on from {goes_on_from}, but {highest} was written before"
                yield Finding(code, "redis", highest, message)
        elif last is not None and entry.epoch > epoch:
            yield Finding("no_marker", "redis", entry.seq, f"epoch {entry.epoch} begins without its marker")
        elif last is not None and entry.seq != last + 1:
            yield Finding("jump", "redis", entry.seq, f"{entry.seq} where {last + 1} was due")
        last = entry.seq or int(entry.fields["last"])
        epoch, highest = max(epoch, entry.epoch), max(highest, last)


def _check_stores(log: Log, events: Sequence[Event]) -> Iterator[Finding]:
    rows = {event.seq: event for event in log.rows}
    for event in events:
        row = rows.get(event.seq)
        if row is None:
            if log.ended or event.seq <= log.run.last_seq:
                yield Finding("difference", "redis", event.seq, "SQL does not have it")
        elif _essence(row) != _essence(event):
            yield Finding("difference", "redis", event.seq, f"SQL has {_essence(row)}, Redis {_essence(event)}")
    if log.run.stream_closed_at is not None and events and events[-1].seq != log.run.last_seq:
        message = f"the closed stream ends at {events[-1].seq}, the log at {log.run.last_seq}"
        yield Finding("difference", "redis", events[-1].seq, message)


def _check_end(events: Sequence[Event], where: str) -> Iterator[Finding]:
    closed = next((event.seq for event in events if event.type == EventType.RUN_CLOSED), None)
    for event in events:
        if closed is not None and event.seq > closed:
            yield Finding("after_end", where, event.seq, f"{event.type} after run.closed at {closed}")


def _check_records(events: Sequence[Event]) -> Iterator[Finding]:
    """The events of a record lie together, records ascend within an attempt, and attempts ascend."""
    attempt, record = 0, 0
    for event in events:
        if event.attempt > attempt:
            attempt, record = event.attempt, 0
        if event.attempt < attempt or (event.record or record) < record:
            yield Finding("record_order", "sql", event.seq, f"{event.src} after {attempt}:{record}")
        record = max(record, event.record or 0)


def _check_texts(events: Sequence[Event]) -> Iterator[Finding]:
    cut = False  # beyond the cap texts are left out, and long ones are shortened (`run_output`)
    pieces: dict[tuple[str, int, str], list[str]] = {}
    for event in events:
        cut = cut or bool(event.data.get("truncated")) or event.data.get("code") == TRUNCATED
        name = str(event.data.get("messageId", ""))
        for delta, whole in _WHOLE_OF.items():
            if event.type == delta:
                pieces.setdefault((whole, event.attempt, name), []).append(str(event.data.get("text", "")))
        said = pieces.pop((event.type, event.attempt, name), None)
        if said is not None and not cut and "".join(said) != event.data.get("text"):
            yield Finding("text", "sql", event.seq, f"the deltas of {name} do not add up to {event.type}")


def _check_transcript(
    log: Log, archive: Sequence[Event], transcript: Sequence[Envelope], where: str
) -> Iterator[Finding]:
    yield from _check_order([item["seq"] for item in transcript], where, first=None)
    known = {event.seq: event for event in archive}
    for item in transcript:
        event = known.get(item["seq"])
        if event is None:
            yield Finding("difference", where, item["seq"], "the log does not have it")
        elif orjson.loads(orjson.dumps(envelope(event, log.run.session_id, log.run.trace_id))) != item:
            yield Finding(
                "difference", where, item["seq"], f"the client got {dict(item)}, the log has {_essence(event)}"
            )


def _archive(rows: Sequence[Event], events: Sequence[Event]) -> list[Event]:
    """Return the log as a reader gets it: SQL, then what only Redis has."""
    last = rows[-1].seq if rows else 0
    return [*rows, *(event for event in events if event.seq > last)]


def _essence(event: Event) -> tuple[object, ...]:
    return event.type, ids.rfc3339_of(event.ts), event.src, event.data


def _event_of(run_id: str, entry: StreamEntry) -> Event:
    fields = entry.fields
    data = orjson.loads(fields["data"])
    return Event(run_id, entry.seq, fields["type"], data, ids.posix_of(fields["ts"]), fields["src"])
