"""A small world for tests of the log: runs without an agent, holders without a driver."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app import db, ids
from app.domain.events import Draft, Event, EventType, source
from app.domain.lease import Lease
from app.models import AgentRun, ChatSession, RunEvent, Tenant, User
from app.ports import AppendAnswer, EventStream
from app.services.event_log import RunLog

_times = itertools.count(1_700_000_000_123)
TEXTS = ("Héllo ", "wörld\n", "日本語", "\u2028", '"quoted" ', "\\back ", "\x00nul ", "🙂", "plain ")


def draft(kind: str, data: Mapping[str, Any], record: int | None = None, attempt: int = 1) -> Draft:
    return Draft(kind, data, next(_times) / 1000, source(attempt, record))


def delta(record: int, text: str | None = None, message: str = "m1", attempt: int = 1) -> Draft:
    """Return the text event that journal record `record` makes: always the same for the same record."""
    shown = TEXTS[record % len(TEXTS)] + str(record) if text is None else text
    data = {"messageId": message, "role": "assistant", "text": shown}
    return Draft(EventType.MESSAGE_DELTA, data, 1_700_000_000 + record / 1000, source(attempt, record))


def status(name: str, attempt: int = 1) -> Draft:
    return draft(EventType.RUN_STATUS, {"status": name}, attempt=attempt)


def ending(name: str = "succeeded") -> list[Draft]:
    return [
        status(name),
        draft(EventType.RUN_FINISHED, {"status": name, "stopReason": "end_turn", "usage": {}}),
        draft(EventType.RUN_CLOSED, {}),
    ]


def new_session() -> str:
    """Make a tenant, a user and a session, and return the session's id."""
    now = 1_700_000_000.0
    tenant_id, user_id, session_id = ids.new_id("ten"), ids.new_id("usr"), ids.new_id("ses")
    Tenant.insert(id=tenant_id, name="t", created_at=now).execute()
    User.insert(id=user_id, tenant_id=tenant_id, name=user_id, created_at=now).execute()
    ChatSession.insert(
        id=session_id, tenant_id=tenant_id, user_id=user_id, provider="scripted", created_at=now, updated_at=now
    ).execute()
    return session_id


def new_run(session_id: str | None = None) -> AgentRun:
    """Make a queued run with event 1, as the creating transaction does."""
    session = ChatSession.get_by_id(session_id or new_session())
    with db.transaction():
        session.last_seq += 1
        session.save()
        run = AgentRun.create(
            id=ids.new_id("run"),
            tenant_id=session.tenant_id,
            session_id=session.id,
            user_id=session.user_id,
            session_seq=session.last_seq,
            status="queued",
            provider="scripted",
            prompt="hello",
            trace_id="trc_1",
            last_seq=1,
            created_at=1_700_000_000.0,
        )
        first = {"type": EventType.RUN_STATUS, "data": {"status": "queued"}, "ts": 1_700_000_000.0, "src": source(0)}
        RunEvent.insert(run_id=run.id, seq=1, tenant_id=run.tenant_id, **first).execute()
    return run


def take_lease(run_id: str, seconds: float = 3600, owner: str = "w") -> tuple[AgentRun, Lease]:
    """Give somebody the next lease of a run, whoever had it."""
    with db.transaction():
        AgentRun.update(epoch=AgentRun.epoch + 1, lease_owner=owner).where(AgentRun.id == run_id).execute()
        run = AgentRun.get_by_id(run_id)
    return run, Lease(run_id, run.epoch, owner, seconds)


def take_over(run_id: str, stream: EventStream, seconds: float = 3600) -> RunLog:
    """Take the next lease and open the log with it."""
    run, lease = take_lease(run_id, seconds)
    return RunLog.open(run, lease, stream)


def finish(run_id: str, name: str = "succeeded") -> Callable[[int], None]:
    """Return the change that ends a run."""

    def change(_: int) -> None:
        AgentRun.update(status=name, finished_at=db.clock()).where(AgentRun.id == run_id).execute()

    return change


def in_sql(run_id: str) -> list[Event]:
    columns = (RunEvent.seq, RunEvent.type, RunEvent.data, RunEvent.ts, RunEvent.src)
    query: Any = RunEvent.select(*columns).where(RunEvent.run_id == run_id).order_by(RunEvent.seq)
    return [Event(run_id, *row) for row in query.tuples()]


class Died(BaseException):
    """A holder's process ends here; no handler of the product may catch it."""


class PlannedStream:
    """An EventStream that does what a test plans before or after an append reaches the real one."""

    def __init__(self, real: EventStream) -> None:
        self.real = real
        self.before_append: Callable[[Sequence[Event]], None] = lambda events: None
        self.after_append: Callable[[Sequence[Event]], None] = lambda events: None
        self.waits = threading.Event()

    def append(self, run_id: str, epoch: int, events: Sequence[Event]) -> AppendAnswer:
        self.before_append(events)
        answer = self.real.append(run_id, epoch, events)
        self.after_append(events)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def journal(length: int) -> list[list[Draft]]:
    """Return the events that the records 1 … `length` of a journal make: text, and state now and then, always the same."""
    records = []
    for record in range(1, length + 1):
        drafts = [delta(record, f"{TEXTS[(record + piece) % len(TEXTS)]}{piece}") for piece in range(1 + record % 3)]
        if record % 5 == 0:
            ts, src = drafts[0].ts, drafts[0].src
            asked = {"requestId": f"hlr_{record}", "kind": "approval", "title": f"run {record}?"}
            drafts.append(Draft(EventType.HUMAN_LOOP_REQUESTED, asked, ts, src))
        records.append(drafts)
    return records


class Holder:
    """Steps a journal into a log as a driver does: from behind the last record that the log has."""

    joins = False
    """Whether the next record is at hand now and then, so that what it makes goes to Redis with what this one makes."""

    def __init__(self, run_id: str, stream: EventStream, records: Sequence[list[Draft]], seconds: float = 3600) -> None:
        self.run_id, self.records = run_id, records
        self.log = take_over(run_id, stream, seconds)
        self.position = self.log.last_record(1)

    def step(self) -> bool:
        """Write the events of the next record; False at the journal's end."""
        if self.position == len(self.records):
            return False
        self.log.join(self.joins and self.position + 1 < len(self.records) and self.position % 4 > 1)
        self.log.append(self.records[self.position])
        self.position += 1
        return True

    def run_out(self) -> None:
        """Write what is left, and seal."""
        while self.step():
            pass
        self.log.seal(ending(), finish(self.run_id))


def told(events: Sequence[Event | Draft]) -> list[tuple[str, object, float, str]]:
    """Return what a log says, without its driver's own events, to compare with what its journal says."""
    return [(each.type, each.data, each.ts, each.src) for each in events if not each.src.endswith(":-")]


def as_told(records: Sequence[list[Draft]]) -> list[tuple[str, object, float, str]]:
    return told([draft for drafts in records for draft in drafts])
