"""Take-overs of a log, staged by the thousand: two holders alive at once, holders that die anywhere, Redis that loses its tail.
However a log comes about, it says what its journal says, once and in order."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

import peewee
import pytest

from app import db
from app.adapters.redis_connection import connect
from app.adapters.redis_event_stream import RedisEventStream, stream_key
from app.domain.events import SQL_FIRST, Event
from app.errors import LeaseLost
from app.models import AgentRun
from app.services.log_check import check
from tests.support import log_world
from tests.support.log_world import Died, Holder, PlannedStream
from tests.support.redis import RedisServer

pytestmark = pytest.mark.usefixtures("database")

LENGTH = 12
JOURNAL = log_world.journal(LENGTH)
BOUNDARIES = list(accumulate((len(drafts) for drafts in JOURNAL), initial=1))
"""The last seq of each record; Redis loses a record's events together, because one script wrote them."""


@pytest.fixture
def stream(redis: RedisServer) -> Iterator[PlannedStream]:
    with connect(redis.url) as client:
        yield PlannedStream(RedisEventStream(client))


def assert_whole(run_id: str, stream: PlannedStream, records: Sequence[list[log_world.Draft]] = JOURNAL) -> None:
    """The log is sealed, SQL and Redis agree, and it says what the journal says."""
    assert check(run_id, stream) == []
    assert AgentRun.get_by_id(run_id).stream_closed_at is not None
    in_sql = log_world.in_sql(run_id)
    assert stream.read(run_id, 0, 100_000)[-1] == in_sql[-1]
    assert log_world.told(in_sql) == log_world.as_told(records)


def cut(redis: RedisServer, run_id: str, above: int) -> None:
    """Lose everything that Redis has above a seq, with the markers there."""
    with redis.client() as client:
        for entry_id, fields in client.xrevrange(stream_key(run_id)):
            seq = int(entry_id.partition(b"-")[2]) or int(fields[b"last"])
            if seq > above or (seq == above and entry_id.endswith(b"-0")):
                client.xdel(stream_key(run_id), entry_id)


class Joining(Holder):
    """Text goes to Redis together with that of the next record, now and then."""

    joins = True


# --- two holders --------------------------------------------------------------------------------------------------------


def stage(run_id: str, stream: PlannedStream, old: Holder, dice: random.Random) -> Holder:
    """Let a second holder take over at a random point of what the first does; the first goes on until it hears of it."""
    taken: list[Holder] = []

    def take_over(_: Sequence[Event] = ()) -> None:
        stream.before_append = stream.after_append = lambda events: None
        taken.append(Joining(run_id, stream, JOURNAL))
        for _ in range(dice.randint(0, 2)):
            taken[0].step()

    try:
        for _ in range(dice.randint(0, 2)):
            old.step()
        point = dice.choice(["between", "before_append", "after_append"])
        if point == "between" or old.position == LENGTH:
            take_over()
        else:
            setattr(stream, point, take_over)
        goes_on(old, dice)
    except LeaseLost:
        pass
    assert taken
    assert not old.log._lease.held()
    return taken[0]


def goes_on(stale: Holder, dice: random.Random) -> None:
    """Do what a holder does, in any order, until LeaseLost."""
    acts = [stale.step, stale.log.flush, lambda: stale.log.flush_due(0)]
    for _ in range(5):
        dice.choice(acts)()
    stale.step()
    stale.log.join(False)
    stale.log.append([log_world.status("running")], log_world.finish(stale.run_id))
    pytest.fail("a stale holder ended the run")


@pytest.mark.promise("R2")
@pytest.mark.parametrize(
    ("database_url", "take_overs"), [("sqlite", 1000), ("postgres", 250)], indirect=["database_url"]
)
def test_staged_take_overs_with_two_holders_double_and_lose_nothing(
    stream: PlannedStream, take_overs: int, database: peewee.Database
) -> None:
    dice = random.Random(take_overs)
    done = 0
    while done < take_overs:
        run = log_world.new_run()
        holder = Joining(run.id, stream, JOURNAL)
        for _ in range(5):
            holder = stage(run.id, stream, holder, dice)
            done += 1
            assert check(run.id, stream) == []
        holder.run_out()
        assert_whole(run.id, stream)


@pytest.mark.parametrize(("database_url", "runs"), [("sqlite", 4), ("postgres", 4)], indirect=["database_url"])
def test_holders_in_parallel_threads_double_and_lose_nothing(
    stream: PlannedStream, runs: int, database: peewee.Database
) -> None:
    problems: list[BaseException] = []

    def hold(run_id: str, seed: int) -> None:
        dice = random.Random(seed)
        with db.connection():
            while AgentRun.get_by_id(run_id).finished_at is None:
                try:
                    holder = Joining(run_id, stream, JOURNAL)  # takes the lease from whoever has it
                    for _ in range(dice.randint(1, LENGTH)):
                        holder.step()
                        holder.log.flush_due(0.001)
                    if holder.position == LENGTH:
                        holder.run_out()
                except LeaseLost:
                    continue
                except BaseException as error:
                    problems.append(error)
                    return

    for _ in range(runs):
        run = log_world.new_run()
        threads = [threading.Thread(target=hold, args=(run.id, seed)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert problems == []
        assert not any(thread.is_alive() for thread in threads)
        assert_whole(run.id, stream)


# --- holders that die ---------------------------------------------------------------------------------------------------


def die(_: Sequence[Event]) -> None:
    raise Died


@pytest.mark.parametrize("point", ["before_append", "after_append"])
def test_a_holder_may_die_around_every_append(stream: PlannedStream, point: str) -> None:
    """Before the append of a state event SQL has it and Redis does not; after the append of text it is the other way round."""
    for record in range(LENGTH):
        run = log_world.new_run()
        holder = Holder(run.id, stream, JOURNAL)
        for _ in range(record):
            holder.step()
        setattr(stream, point, die)
        with pytest.raises(Died):
            holder.step()
        setattr(stream, point, lambda events: None)

        again = Holder(run.id, stream, JOURNAL)
        stateful = any(draft.type in SQL_FIRST for draft in JOURNAL[record])
        assert again.position == record + (stateful or point == "after_append")
        assert log_world.in_sql(run.id) == stream.read(run.id, 0, 1000)
        again.run_out()
        assert_whole(run.id, stream)


def test_a_holder_may_die_at_every_record_with_redis_losing_its_tail_at_every_other(
    stream: PlannedStream, redis: RedisServer
) -> None:
    for kept in range(LENGTH + 1):
        run = log_world.new_run()
        holder = Holder(run.id, stream, JOURNAL)
        while holder.step():
            pass
        cut(redis, run.id, BOUNDARIES[kept])
        again = Holder(run.id, stream, JOURNAL)
        saved = max(record for record in range(LENGTH + 1) if record % 5 == 0)
        assert again.position == max(kept, saved)
        again.run_out()
        assert_whole(run.id, stream)


def test_a_live_holder_makes_good_a_tail_that_redis_lost_at_every_record(
    stream: PlannedStream, redis: RedisServer
) -> None:
    for lost_at in range(1, LENGTH + 1):
        for kept in {0, 1, BOUNDARIES[1], BOUNDARIES[lost_at // 2], BOUNDARIES[lost_at - 1], BOUNDARIES[lost_at]}:
            run = log_world.new_run()
            Holder(run.id, stream, JOURNAL).step()
            holder = Holder(run.id, stream, JOURNAL)
            while holder.position < lost_at:
                holder.step()
            cut(redis, run.id, kept)
            holder.run_out()
            assert_whole(run.id, stream)


@pytest.mark.parametrize("loss", ["flush", "cut"])
def test_redis_may_lose_everything_in_the_middle_of_take_overs(
    stream: PlannedStream, redis: RedisServer, loss: str
) -> None:
    lose: dict[str, Callable[[str, random.Random], None]] = {
        "flush": lambda run_id, dice: redis.flush(),
        "cut": lambda run_id, dice: cut(redis, run_id, dice.choice([0, *BOUNDARIES])),
    }
    for seed in range(25):
        dice = random.Random(seed)
        run = log_world.new_run()
        holder = Holder(run.id, stream, JOURNAL)
        while holder.position < LENGTH:
            for _ in range(dice.randint(1, 3)):
                holder.step()
            lose[loss](run.id, dice)
            if dice.random() < 0.5:
                holder.step()
            if dice.random() < 0.7:
                holder = Holder(run.id, stream, JOURNAL)
        lose[loss](run.id, dice)
        holder.run_out()
        assert_whole(run.id, stream)
