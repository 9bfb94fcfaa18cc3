"""The holder's side of a run's log: the one way to append to it. ARCHITECTURE decisions 2 and 6.

Events that change state go to SQL first, with the rows they describe; text goes to Redis first and to SQL soon after. What
SQL does not hold yet is kept here, so that whatever Redis loses can be sent again. Closing a sealed log's stream is in
`log_closing`, reading in `log_reader`, the rows themselves in `log_rows`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import orjson

from app import db
from app.domain import jsontext
from app.domain.events import SQL_FIRST, Draft, Event, EventType
from app.domain.lease import Lease
from app.errors import LeaseLost, Unavailable
from app.log import logger
from app.models import AgentRun
from app.ports import EventStream
from app.services import log_closing, log_rows
from app.services.counting import Counters

Change = Callable[[int], None]
T = TypeVar("T")

PENDING_EVENTS = 500
PENDING_BYTES = 1_048_576
"""Above either, what only Redis has is written to SQL at once: memory stays bounded."""
TRIM_EVERY = 500
CHUNK = 500
JOINED_EVENTS, JOINED_BYTES = 100, 262_144
"""Above either, text that was held back to go to Redis in one call with what follows it goes."""
OVERLAP = 50
"""How many of the events that both stores hold a new holder compares."""
ALL = 1_000_000
_REPAIRS = 8


class LogBroken(Exception):
    """A log lacks events that nobody can give back. The transaction that found out is rolled back."""


class RunLog:
    """One run's log for one lease. Thread-safe. Every call may block while Redis or SQL does not answer, and raises
    `LeaseLost` once the lease is over: then nothing more is written, anywhere."""

    def __init__(self, run: AgentRun, lease: Lease, stream: EventStream, counters: Counters | None = None) -> None:
        self._counters = counters
        self._run_id, self._tenant_id = run.id, run.tenant_id
        self._lease, self._stream = lease, stream
        self._lock = threading.RLock()
        self._last = self._saved = self._base = self._trimmed = 0
        self._pending: list[Event] = []
        self._pending_bytes = 0
        self._pending_since = 0.0
        self._records: dict[int, int] = {}
        self._more_follows = False
        self._unsent: list[Event] = []  # of `_pending`, in order, its end
        self._unsent_bytes = 0
        self._sealed = False

    @classmethod
    def open(cls, run: AgentRun, lease: Lease, stream: EventStream, counters: Counters | None = None) -> RunLog:
        """Fence older holders off, then bring SQL and Redis to the same last event. `run` is a row of this lease's epoch."""
        log = cls(run, lease, stream, counters)
        log._patiently(log._take_over)
        return log

    @property
    def last_seq(self) -> int:
        return self._last

    def last_record(self, attempt: int) -> int:
        """Return the highest journal record of this attempt that has events in the log; 0 where none has."""
        with self._lock:
            if attempt not in self._records:
                found = self._patiently(lambda: log_rows.last_record(self._run_id, attempt))
                self._records[attempt] = max(found, *(_record(event, attempt) for event in self._pending), 0)
            return self._records[attempt]

    def join(self, more_follows: bool) -> None:
        """Say whether the next text is at hand: then the text appended now goes to Redis with it, in one call. A reader of a flood is
        held up by calls, not by bytes. Nothing is held back once no more follows."""
        with self._lock:
            self._more_follows = more_follows
            if not more_follows:
                self._push()

    def append(self, drafts: Sequence[Draft], change: Change | None = None) -> list[Event]:
        """Append the events of one journal record, or events of the driver's own; all or none.

        `change(last_seq)` writes the rows that the events describe, in the transaction that writes the events. It may be
        called again after a rollback. What it raises leaves the log as it was.
        """
        begun = time.monotonic()
        with self._lock:
            self._require()
            events, size = self._number(drafts)
            if change is not None or any(event.type in SQL_FIRST for event in events):
                self._save(self._pending + events, change)
                self._took(events)
                self._settle()
                self._push(events)
            elif events:
                self._took(events)
                self._keep(events, size)
                if not self._more_follows or self._unsent_bytes >= JOINED_BYTES or len(self._unsent) >= JOINED_EVENTS:
                    self._push()
                if len(self._pending) >= PENDING_EVENTS or self._pending_bytes >= PENDING_BYTES:
                    self.flush()
            if events:
                self._observe("paddock_event_append_seconds", time.monotonic() - begun)
            return events

    def flush(self) -> None:
        """Write to SQL what only Redis has."""
        with self._lock:
            if self._pending:
                self._save(self._pending)
                self._settle()

    def flush_due(self, age_seconds: float) -> bool:
        """Flush if the oldest event that only Redis has is older than this."""
        with self._lock:
            if not self._pending or time.monotonic() - self._pending_since < age_seconds:
                return False
            self.flush()
            return True

    def seal(self, drafts: Sequence[Draft], change: Change) -> list[Event]:
        """End the log: everything that is left, these events (`run.closed` last) and the terminal state that `change` sets
        are one transaction, refused with LogBroken unless SQL then has every event. Redis follows if it can; the sweep
        repeats that (`log_closing.close_streams`)."""
        with self._lock:
            self._require()
            self._push()
            events, _ = self._number(drafts)
            if not events or events[-1].type != EventType.RUN_CLOSED:
                raise ValueError("a log ends with run.closed")
            try:
                self._save(self._pending + events, change, whole=True)
            except LogBroken:
                self._patiently(self._mend)
                self._save(self._pending + events, change, whole=True)
            self._took(events)
            self._sealed = True
            self.forget()
        log_closing.try_close(self._stream, self._run_id, self._lease.epoch, self._last)
        return events

    def forget(self) -> None:
        """Drop what is kept: the lease is lost, or the log sealed."""
        with self._lock:
            self._pending, self._unsent = [], []
            self._pending_bytes = self._unsent_bytes = 0

    # --- events and the buffer ---------------------------------------------------------------------------------------------

    def _number(self, drafts: Sequence[Draft]) -> tuple[list[Event], int]:
        events, size = [], 0
        for seq, draft in enumerate(drafts, self._last + 1):
            data, length = _as_json(draft.data)
            size += length
            events.append(Event(self._run_id, seq, str(draft.type), data, round(draft.ts, 3), draft.src))
        return events, size

    def _observe(self, name: str, seconds: float) -> None:
        if self._counters is not None:
            self._counters.observe(name, {}, seconds)

    def _took(self, events: Sequence[Event]) -> None:
        for event in events:
            if self._counters is not None:
                self._counters.add("paddock_events_total", {"type": event.type})
            self._last = event.seq
            if event.attempt in self._records:
                self._records[event.attempt] = max(self._records[event.attempt], event.record or 0)

    def _keep(self, events: Sequence[Event], size: int) -> None:
        """Keep text for SQL and for Redis. For SQL first: Redis may show it to everybody and be gone before it says so."""
        if not self._pending:
            self._pending_since = time.monotonic()
        self._pending += events
        self._pending_bytes += size
        self._unsent += events
        self._unsent_bytes += size

    def _settle(self) -> None:
        """SQL has everything that was pending."""
        if self._pending:
            self._observe("paddock_event_flush_lag_seconds", time.monotonic() - self._pending_since)
        self._pending, self._pending_bytes = [], 0
        if self._saved - self._trimmed >= TRIM_EVERY:
            self._trimmed = self._saved
            try:
                self._stream.trim(self._run_id, self._saved)
            except Unavailable:
                logger.debug("stream not trimmed", run_id=self._run_id)

    # --- SQL ---------------------------------------------------------------------------------------------------------------

    def _save(self, events: Sequence[Event], change: Change | None = None, *, whole: bool = False) -> None:
        last = events[-1].seq if events else self._saved
        tried = False

        def write() -> None:
            nonlocal tried
            if tried and self._is_saved(last):
                return
            tried = True
            with db.transaction():
                self._write(events, last, change)
                if whole and log_rows.extent(self._run_id) != (last, last):
                    raise LogBroken(f"run {self._run_id}: SQL does not have every event up to {last}")

        self._patiently(write)
        self._saved = last

    def _write(self, events: Sequence[Event], last: int, change: Change | None) -> None:
        mine = (AgentRun.id == self._run_id, AgentRun.epoch == self._lease.epoch, AgentRun.finished_at.is_null())
        if AgentRun.update(last_seq=last).where(*mine).execute() != 1:
            raise LeaseLost(f"run {self._run_id}: epoch {self._lease.epoch} does not hold it")
        log_rows.insert(self._tenant_id, events)
        if change is not None:
            change(last)

    def _is_saved(self, last: int) -> bool:
        """A commit whose answer was lost may have happened: in this epoch nobody else moves `last_seq`."""
        if last == self._saved:
            return False
        with db.reading():
            mine = (AgentRun.id == self._run_id, AgentRun.epoch == self._lease.epoch, AgentRun.last_seq == last)
            return bool(AgentRun.select().where(*mine).exists())

    def _mend(self) -> None:
        """Give SQL back, from the stream, what it should have had."""
        gone = set(log_rows.missing(self._run_id, self._saved))
        if gone:
            found = [event for event in self._stream.read(self._run_id, min(gone) - 1, ALL) if event.seq in gone]
            with db.transaction():
                self._write(found, self._saved, None)
            logger.error("log mended from its stream", run_id=self._run_id, missing=len(gone), found=len(found))

    # --- Redis -------------------------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        saved = self._own_last_seq()
        answer = self._fence(saved, None)
        tail = self._adoptable(saved, answer.top) if answer.top else []
        if tail:
            self._save(tail)
        self._last = self._saved = self._base = self._trimmed = tail[-1].seq if tail else saved
        self._resend(self._last + 1)

    def _adoptable(self, saved: int, top: int) -> list[Event]:
        """Return what only Redis has. Where it contradicts SQL, or does not join it, SQL is right and the stream is cut."""
        since = max(0, saved - OVERLAP)
        found = self._stream.read(self._run_id, since, ALL)
        rows = {event.seq: event for event in log_rows.read(self._run_id, since, OVERLAP)}
        tail: list[Event] = []
        for event in found:
            wrong = rows.get(event.seq) != event if event.seq <= saved else event.seq != saved + len(tail) + 1
            if wrong:
                logger.error("stream contradicts the log", run_id=self._run_id, seq=event.seq, saved=saved, top=top)
                self._fence(saved, min(event.seq - 1, saved))
                return []
            tail += [event] if event.seq > saved else []
        return tail

    def _push(self, events: Sequence[Event] = ()) -> None:
        """Give Redis what was held back, and these events after it."""
        held, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if held or events:
            self._send([*held, *events])

    def _send(self, events: Sequence[Event]) -> None:
        def offer() -> None:
            try:
                self._offer(events)
            except Unavailable:
                self.flush()  # what anybody may have seen must not wait for Redis
                raise

        self._patiently(offer)

    def _offer(self, events: Sequence[Event]) -> None:
        for _ in range(_REPAIRS):
            self._require()
            answer = self._stream.append(self._run_id, self._lease.epoch, events)
            if answer in ("OK", "HAVE"):
                return
            if answer == "FENCED":
                raise LeaseLost(f"run {self._run_id}: epoch {self._lease.epoch} is fenced off")
            logger.warning("stream lost entries", run_id=self._run_id, answer=answer, seq=events[0].seq)
            if answer == "LOST":
                self._fence(self._own_last_seq(), self._base)
            self._resend(events[0].seq)
        raise Unavailable("redis_unavailable", "Redis loses what it acknowledged, again and again.")

    def _fence(self, saved: int, known: int | None) -> Any:
        self._require()
        answer = self._stream.fence(self._run_id, self._lease.epoch, saved, known=known)
        if not answer.accepted:
            raise LeaseLost(f"run {self._run_id}: a higher epoch than {self._lease.epoch} has its stream")
        return answer

    def _own_last_seq(self) -> int:
        saved = log_rows.last_seq_of_holder(self._run_id, self._lease.epoch)
        if saved is None:
            raise LeaseLost(f"run {self._run_id}: epoch {self._lease.epoch} does not hold it")
        return saved

    def _resend(self, before: int) -> None:
        """Append what the stream lacks below this seq, from SQL and the buffer, in this epoch."""
        after = self._stream.top(self._run_id)
        while after < before - 1:
            self._require()
            rows = log_rows.read(self._run_id, after, CHUNK) if after < self._saved else self._pending
            chunk = [event for event in rows if after < event.seq < before][:CHUNK]
            if not chunk or chunk[0].seq != after + 1:
                raise LogBroken(f"run {self._run_id}: nobody has event {after + 1}")
            if self._stream.append(self._run_id, self._lease.epoch, chunk) not in ("OK", "HAVE"):
                return  # whoever called looks again
            after = chunk[-1].seq

    # --- the lease ---------------------------------------------------------------------------------------------------------

    def _require(self) -> None:
        if self._sealed:
            raise LeaseLost(f"run {self._run_id}: its log is sealed")
        try:
            self._lease.require()
        except LeaseLost:
            self.forget()
            raise

    def _patiently(self, act: Callable[[], T]) -> T:
        """Call until the other side answers, for as long as the lease is held."""
        pause = 0.02
        while True:
            self._require()
            try:
                return act()
            except LeaseLost:
                self._lease.lose()
                self.forget()
                raise
            except Unavailable as error:
                logger.warning("log waits", run_id=self._run_id, why=error.message)
                time.sleep(min(pause, self._lease.seconds / 20))
                pause = min(pause * 2, 1.0)


def _record(event: Event, attempt: int) -> int:
    return (event.record or 0) if event.attempt == attempt else 0


def _as_json(data: Any) -> tuple[Any, int]:
    """Return the data as every reader will get it, and its size. What JSON cannot say is made sayable, never refused."""
    try:
        text = orjson.dumps(data)
    except TypeError:
        text = orjson.dumps(_sayable(data), default=str, option=orjson.OPT_NON_STR_KEYS)
    return orjson.loads(text), len(text)


def _sayable(value: Any) -> Any:
    if isinstance(value, str):
        return jsontext.sayable(value)
    if isinstance(value, dict):
        return {_sayable(key): _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value) if abs(value) < 2**1023 else str(value)
    return value
