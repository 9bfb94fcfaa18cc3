"""The holder's side of a log: what goes where first, what happens when a store is away, and how a log ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import peewee
import pytest

from app import db
from app.adapters.redis_connection import connect
from app.adapters.redis_event_stream import RedisEventStream, stream_key
from app.domain.events import Draft, Event, EventType
from app.domain.lease import Lease
from app.errors import Conflict, LeaseLost, Unavailable
from app.models import AgentRun, RunEvent
from app.services import event_log
from app.services.event_log import LogBroken, RunLog
from app.services.log_check import check
from app.services.log_closing import close_streams
from app.services.log_reader import LogReader
from tests.support import log_world
from tests.support.log_world import Died, PlannedStream
from tests.support.redis import RedisServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def stream(redis: RedisServer) -> Iterator[PlannedStream]:
    with connect(redis.url) as client:
        yield PlannedStream(RedisEventStream(client))


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events]


def everything(run_id: str, stream: PlannedStream) -> tuple[object, ...]:
    """Return all that both stores hold of a run."""
    row = AgentRun.select().where(AgentRun.id == run_id).dicts().get()
    return row, log_world.in_sql(run_id), stream.entries(run_id)


# --- what goes where first ----------------------------------------------------------------------------------------------


def test_text_is_in_redis_at_once_and_in_sql_after_a_flush(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1), log_world.delta(1, "b")])
    assert seqs(stream.read(run.id, 0, 10)) == [1, 2, 3]
    assert seqs(log_world.in_sql(run.id)) == [1]
    assert not log.flush_due(3600)
    assert log.flush_due(0)
    assert not log.flush_due(0)
    assert log_world.in_sql(run.id) == stream.read(run.id, 0, 10)
    assert check(run.id, stream) == []


def test_text_whose_next_is_at_hand_goes_to_redis_with_it(
    stream: PlannedStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    calls: list[list[int]] = []
    stream.before_append = lambda events: calls.append(seqs(list(events)))
    log.join(True)
    log.append([log_world.delta(1), log_world.delta(1, "b")])
    log.append([log_world.delta(2)])
    assert calls == []
    log.join(False)
    log.append([log_world.delta(3)])
    assert calls == [[2, 3, 4], [5]]
    log.join(True)
    log.append([log_world.delta(4)])
    log.append([log_world.status("running")])  # state waits for nothing, and nothing before it is left behind
    assert calls[2:] == [[6, 7]]
    monkeypatch.setattr(event_log, "JOINED_EVENTS", 3)
    for record in range(5, 9):
        log.append([log_world.delta(record)])
    assert calls[3:] == [[8, 9, 10]]
    log.flush()
    assert seqs(log_world.in_sql(run.id)) == list(range(1, 12))
    log.join(False)
    assert log_world.in_sql(run.id) == stream.read(run.id, 0, 20)
    assert check(run.id, stream) == []


def test_text_that_was_held_back_when_its_holder_was_dropped_is_in_redis_after_the_next(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.join(True)
    log.append([log_world.delta(1)])
    log.flush()  # as at a hand-back
    log.append([log_world.delta(2)])  # only here: its record is stepped again
    after = log_world.take_over(run.id, stream)
    assert after.last_record(1) == 1
    assert seqs(stream.read(run.id, 0, 10)) == [1, 2]
    assert check(run.id, stream) == []


def test_state_is_in_sql_with_its_row_and_all_before_it_ahead_of_redis(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    seen: list[tuple[list[int], str]] = []
    stream.before_append = lambda events: seen.append(
        (seqs(log_world.in_sql(run.id)), AgentRun.get_by_id(run.id).status)
    )
    given: list[int] = []

    def change(last_seq: int) -> None:
        given.append(last_seq)
        AgentRun.update(status="running").where(AgentRun.id == run.id).execute()

    log.append([log_world.status("running")], change)
    assert given == [3]
    assert seen == [([1, 2, 3], "running")]
    assert seqs(stream.read(run.id, 0, 10)) == [1, 2, 3]


def test_a_change_without_events_is_one_transaction_with_what_was_pending(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    given: list[int] = []
    assert log.append([], given.append) == []
    assert given == [2]
    assert seqs(log_world.in_sql(run.id)) == [1, 2]
    log.append([], given.append)
    assert given == [2, 2]


def test_a_change_that_is_refused_leaves_the_log_as_it_was(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    before = everything(run.id, stream)

    def refuse(_: int) -> None:
        raise Conflict("not_now", "no")

    with pytest.raises(Conflict):
        log.append([log_world.status("running")], refuse)
    assert everything(run.id, stream) == before
    log.append([log_world.delta(2)])
    log.flush()
    assert seqs(log_world.in_sql(run.id)) == [1, 2, 3]
    assert check(run.id, stream) == []


def test_a_batch_never_splits_a_record(stream: PlannedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "PENDING_EVENTS", 7)
    monkeypatch.setattr("app.services.log_rows.ROWS_PER_INSERT", 2)
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    sizes = {record: 1 + record * 7 % 5 for record in range(1, 40)}
    for record, size in sizes.items():
        log.append([log_world.delta(record, str(piece)) for piece in range(size)])
        found: dict[int, int] = {}
        for event in log_world.in_sql(run.id)[1:]:
            found[event.record or 0] = found.get(event.record or 0, 0) + 1
        assert found == {known: sizes[known] for known in found}
        assert len(log._pending) < 7
    assert len(log_world.in_sql(run.id)) > 7


def test_what_sql_lacks_is_bounded_in_bytes_too(stream: PlannedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "PENDING_BYTES", 10_000)
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    for record in range(1, 30):
        log.append([log_world.delta(record, "x" * 1000)])
        assert log.last_seq - len(log_world.in_sql(run.id)) < 10


def test_the_last_record_is_known_from_memory_and_from_sql(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    assert log.last_record(1) == 0
    log.append([log_world.delta(3)])
    assert log.last_record(1) == 3
    log.append([log_world.status("running")])
    log.append([log_world.delta(12)])
    assert log.last_record(1) == 12
    again = log_world.take_over(run.id, stream)
    assert again.last_record(1) == 12
    assert again.last_record(2) == 0
    again.append([log_world.delta(2, attempt=2)])
    assert (again.last_record(1), again.last_record(2)) == (12, 2)


def test_times_and_data_come_back_from_both_stores_as_they_were_returned(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    odd = {"text": "\ud800 half", "big": 2**70, "pair": (1, 2), 3: "three", "nul": "\x00", "nan": float("nan")}
    events = log.append([Draft(EventType.MESSAGE_DELTA, odd, 1_700_000_000.123456, "1:1")])
    log.flush()
    assert events[0].ts == 1_700_000_000.123
    assert log_world.in_sql(run.id)[1:] == events
    assert stream.read(run.id, 1, 10) == events


def test_a_stream_is_trimmed_only_below_what_sql_has(stream: PlannedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    for record in range(1, 46):
        log.append([log_world.delta(record, str(piece)) for piece in range(100)])
    kept = stream.read(run.id, 0, 10_000)
    assert 1 < kept[0].seq <= log.last_seq - 2000 + 1
    assert kept[0].seq <= AgentRun.get_by_id(run.id).last_seq
    assert seqs(LogReader(stream).read(run.id, 0, 10_000)) == list(range(1, log.last_seq + 1))


# --- stores that are away -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_with_redis_away_a_holder_waits_and_goes_on(own_redis: RedisServer, database: peewee.Database) -> None:
    with connect(own_redis.url) as client:
        stream = RedisEventStream(client)
        run = log_world.new_run()
        log = log_world.take_over(run.id, stream)
        log.append([log_world.delta(1)])
        own_redis.stop()
        done = threading.Event()

        def write() -> None:
            with db.connection():
                log.append([log_world.delta(2)])
                log.append([log_world.status("running")])
            done.set()

        threading.Thread(target=write, daemon=True).start()
        eventually(lambda: len(log_world.in_sql(run.id)) == 3, what="what Redis has, and what it never got, is safe")
        assert not done.is_set()
        assert LogReader(stream).read(run.id, 0, 10) == log_world.in_sql(run.id)
        own_redis.start()
        assert done.wait(30)
        log.seal(log_world.ending(), log_world.finish(run.id))
        assert check(run.id, stream) == []


def test_what_redis_showed_and_never_answered_for_is_in_sql_while_it_is_away(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    calls: list[list[int]] = []

    def cut_off(events: object) -> None:
        calls.append(seqs(log_world.in_sql(run.id)))
        if len(calls) < 3:
            raise Unavailable("redis_unavailable", "the answer was lost")

    stream.after_append = cut_off
    log.append([log_world.delta(1), log_world.delta(1, "b")])
    assert calls == [[1], [1, 2, 3], [1, 2, 3]]
    log.append([log_world.delta(2)])
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert check(run.id, stream) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_with_redis_away_beyond_the_lease_a_holder_gives_up(own_redis: RedisServer, database: peewee.Database) -> None:
    with connect(own_redis.url) as client:
        stream = RedisEventStream(client)
        run = log_world.new_run()
        row, lease = log_world.take_lease(run.id, seconds=0.6)
        log = RunLog.open(row, lease, stream)
        own_redis.stop()
        with pytest.raises(LeaseLost):
            log.append([log_world.delta(1)])
        assert not lease.held()
        own_redis.start()
        with pytest.raises(LeaseLost):
            log.append([log_world.status("running")])
        assert seqs(log_world.in_sql(run.id)) == [1, 2]
        log_world.take_over(run.id, stream)
        assert stream.read(run.id, 0, 10) == log_world.in_sql(run.id)


def test_a_commit_whose_answer_was_lost_is_not_repeated(stream: PlannedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    real, failures = db.transaction, [True, True]

    @contextmanager
    def transaction() -> Iterator[None]:
        with real():
            yield
        if failures and failures.pop():
            raise Unavailable("database_unavailable", "the answer was lost")

    monkeypatch.setattr(db, "transaction", transaction)
    log.append([log_world.delta(1)])
    log.append([log_world.status("running")])
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert failures == []
    assert check(run.id, stream) == []
    assert len(log_world.in_sql(run.id)) == 6


def test_a_database_that_blinks_loses_nothing(stream: PlannedStream, monkeypatch: pytest.MonkeyPatch) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    real, failures = db.transaction, [True, True, True]

    @contextmanager
    def transaction() -> Iterator[None]:
        with real():
            yield
            if failures:
                failures.pop()
                raise Unavailable("database_unavailable", "gone before the commit")

    monkeypatch.setattr(db, "transaction", transaction)
    log.append([log_world.status("running")])
    log.append([log_world.delta(1)])
    log.flush()
    assert seqs(log_world.in_sql(run.id)) == [1, 2, 3]
    assert check(run.id, stream) == []


# --- what Redis loses ---------------------------------------------------------------------------------------------------


def test_entries_that_redis_acknowledged_and_lost_are_sent_again(stream: PlannedStream, redis: RedisServer) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    for record in range(1, 9):
        log.append([log_world.delta(record)])
        if record == 4:
            log.flush()
    with redis.client() as client:
        for entry_id, _ in client.xrevrange(stream_key(run.id), count=6):
            client.xdel(stream_key(run.id), entry_id)
    log.append([log_world.delta(9)])  # GAP: some from SQL, some from the buffer
    log.flush()
    assert stream.read(run.id, 0, 100) == log_world.in_sql(run.id)
    assert check(run.id, stream) == []


def test_a_stream_that_is_gone_in_mid_run_is_written_again(stream: PlannedStream, redis: RedisServer) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    for record in range(1, 30):
        if record % 3 == 0:
            redis.flush()
        log.append([log_world.delta(record)])
        if record % 7 == 0:
            log.append([log_world.status("running")])
        assert seqs(stream.read(run.id, 0, 100)) == list(range(1, log.last_seq + 1))
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert check(run.id, stream) == []
    assert stream.read(run.id, 0, 100) == log_world.in_sql(run.id)


def test_a_stale_holder_that_redis_let_in_after_a_loss_is_cut_out(stream: PlannedStream, redis: RedisServer) -> None:
    """Redis lost the marker of the new lease; until the new holder notices, nothing in Redis knows who is right."""
    run = log_world.new_run()
    stale = log_world.take_over(run.id, stream)
    stale.append([log_world.delta(1)])
    rightful = log_world.take_over(run.id, stream)
    rightful.append([log_world.delta(2, "right")])
    with redis.client() as client:
        for entry_id, _ in client.xrange(stream_key(run.id), "2-0"):
            client.xdel(stream_key(run.id), entry_id)
    stale.append([log_world.delta(2, "wrong"), log_world.delta(2, "wrong too")])
    rightful.append([log_world.delta(3)])
    with pytest.raises(LeaseLost):
        stale.append([log_world.delta(3)])
    rightful.seal(log_world.ending(), log_world.finish(run.id))
    assert [event.data.get("text") for event in stream.read(run.id, 2, 2)] == ["right", log_world.delta(3).data["text"]]
    assert check(run.id, stream) == []


def test_a_stale_holder_does_not_fence_an_emptied_stream(stream: PlannedStream, redis: RedisServer) -> None:
    run = log_world.new_run()
    stale = log_world.take_over(run.id, stream)
    log_world.take_over(run.id, stream)
    redis.flush()
    with pytest.raises(LeaseLost):
        stale.append([log_world.delta(1)])
    assert stream.entries(run.id) == []


def test_what_contradicts_sql_in_redis_is_cut_by_the_next_holder(stream: PlannedStream) -> None:
    run = log_world.new_run()
    stream.fence(run.id, 1, 1)
    stream.real.append(run.id, 1, [Event(run.id, 1, "run.status", {"status": "queued?"}, 1.0, "0:-")])
    stream.real.append(run.id, 1, [Event(run.id, 2, "message.delta", {"text": "nobody's"}, 1.0, "1:1")])
    AgentRun.update(epoch=1).where(AgentRun.id == run.id).execute()
    log = log_world.take_over(run.id, stream)
    assert log.last_seq == 1
    assert stream.read(run.id, 0, 10) == log_world.in_sql(run.id)


# --- who may write ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("R2")
def test_a_stale_holder_writes_nothing_anywhere(stream: PlannedStream) -> None:
    run = log_world.new_run()
    stale = log_world.take_over(run.id, stream)
    stale.append([log_world.delta(1)])
    log_world.take_lease(run.id)  # the next lease exists, nobody has fenced yet
    acts = {
        "state": lambda: stale.append([log_world.status("running")]),
        "change": lambda: stale.append([], log_world.finish(run.id)),
        "flush": stale.flush,
        "flush_due": lambda: stale.flush_due(0),
        "seal": lambda: stale.seal(log_world.ending(), log_world.finish(run.id)),
        "text": lambda: stale.append([log_world.delta(2)]),
    }
    for name, act in acts.items():
        run_log = log_world.take_over(run.id, stream) if name == "text" else None
        before = everything(run.id, stream)
        stale._lease._lost.clear()  # it has not heard of its loss: each door must refuse by itself
        stale._pending = stale._pending or [Event(run.id, 2, "message.delta", {}, 1.0, "1:1")]
        with pytest.raises(LeaseLost):
            act()
        assert everything(run.id, stream) == before, name
        assert not stale._lease.held()
        assert stale._pending == []
    assert run_log is not None
    run_log.append([log_world.delta(2)])
    run_log.seal(log_world.ending(), log_world.finish(run.id))
    assert check(run.id, stream) == []


def test_a_holder_whose_time_is_over_asks_nobody(stream: PlannedStream) -> None:
    run = log_world.new_run()
    now = [0.0]
    row, _ = log_world.take_lease(run.id)
    lease = Lease(run.id, row.epoch, "w", 30, clock=lambda: now[0])
    log = RunLog.open(row, lease, stream)
    log.append([log_world.delta(1)])
    before = everything(run.id, stream)
    now[0] = 25.0
    for act in (lambda: log.append([log_world.delta(2)]), lambda: log.append([log_world.status("running")])):
        with pytest.raises(LeaseLost):
            act()
    assert everything(run.id, stream) == before


def test_a_lease_of_a_run_that_has_ended_opens_no_log(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.seal(log_world.ending(), log_world.finish(run.id))
    before = everything(run.id, stream)
    with pytest.raises(LeaseLost):
        RunLog.open(AgentRun.get_by_id(run.id), Lease(run.id, 1, "w", 3600), stream)
    with pytest.raises(LeaseLost):
        log.append([log_world.delta(1)])
    assert everything(run.id, stream) == before


# --- the end ------------------------------------------------------------------------------------------------------------


def test_the_end_is_one_transaction_and_then_the_stream_lives_a_day(stream: PlannedStream, redis: RedisServer) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    log.seal(log_world.ending(), log_world.finish(run.id))
    row = AgentRun.get_by_id(run.id)
    assert (row.status, row.last_seq, row.stream_closed_at is not None) == ("succeeded", 5, True)
    assert [event.type for event in log_world.in_sql(run.id)][-2:] == ["run.finished", "run.closed"]
    assert stream.read(run.id, 0, 10) == log_world.in_sql(run.id)
    with redis.client() as client:
        assert 86_300 < client.ttl(stream_key(run.id)) <= 86_400
    assert check(run.id, stream) == []


def test_a_log_ends_with_run_closed_or_not_at_all(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    with pytest.raises(ValueError, match=r"run\.closed"):
        log.seal(log_world.ending()[:2], log_world.finish(run.id))
    assert AgentRun.get_by_id(run.id).finished_at is None


def test_a_row_that_sql_lost_is_given_back_by_the_stream_before_the_end(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    log.append([log_world.status("running")])
    RunEvent.delete().where(RunEvent.run_id == run.id, RunEvent.seq.in_([1, 2])).execute()
    log.append([log_world.delta(2)])
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert seqs(log_world.in_sql(run.id)) == list(range(1, 8))
    assert check(run.id, stream) == []


def test_a_log_with_a_hole_is_not_sealed(stream: PlannedStream, redis: RedisServer) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    log.append([log_world.status("running")])
    RunEvent.delete().where(RunEvent.run_id == run.id, RunEvent.seq == 2).execute()
    redis.flush()
    before = everything(run.id, stream)
    with pytest.raises(LogBroken):
        log.seal(log_world.ending(), log_world.finish(run.id))
    assert everything(run.id, stream) == before


@pytest.mark.parametrize("then", ["kept", "lost", "cut"])
def test_what_redis_missed_of_the_end_is_made_good_by_the_sweep(
    stream: PlannedStream, redis: RedisServer, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    run, other = log_world.new_run(), log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])

    def away(events: object) -> None:
        raise Unavailable("redis_unavailable", "away")

    stream.before_append = away
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert AgentRun.get_by_id(run.id).status == "succeeded"
    assert stream.top(run.id) == 2
    assert close_streams(stream, 10) == 0
    assert AgentRun.get_by_id(run.id).stream_closed_at is None

    stream.before_append = lambda events: None
    with redis.client() as client:
        if then == "lost":
            client.flushall()
        if then == "cut":
            client.xdel(stream_key(run.id), "1-2")
        assert close_streams(stream, 10) == 1
        assert close_streams(stream, 10) == 0
        assert client.ttl(stream_key(run.id)) > 86_000
    assert stream.read(run.id, 0, 10) == log_world.in_sql(run.id)
    assert AgentRun.get_by_id(other.id).stream_closed_at is None
    assert check(run.id, stream) == []


def test_the_sweep_and_the_sealing_holder_may_close_a_stream_at_once(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])

    def sweep_first(events: object) -> None:
        stream.before_append = lambda events: None
        assert close_streams(stream.real, 10) == 1

    stream.before_append = sweep_first
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert check(run.id, stream) == []
    assert len(stream.read(run.id, 0, 100)) == 5


def test_a_run_that_dies_while_it_is_sealed_has_ended_or_not(stream: PlannedStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])

    def die(_: object) -> None:
        raise Died

    with pytest.raises(Died):
        log.seal(log_world.ending(), die)
    assert AgentRun.get_by_id(run.id).finished_at is None
    again = log_world.take_over(run.id, stream)
    stream.before_append = die
    with pytest.raises(Died):
        again.seal(log_world.ending(), log_world.finish(run.id))
    stream.before_append = lambda events: None
    assert close_streams(stream, 10) == 1
    assert check(run.id, stream) == []
    assert [event.type for event in log_world.in_sql(run.id)].count("run.closed") == 1
