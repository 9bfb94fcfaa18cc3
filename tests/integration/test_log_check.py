"""The checker finds what it is there to find: each test damages a good log in one way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.adapters.redis_connection import connect
from app.adapters.redis_event_stream import RedisEventStream, stream_key
from app.domain.events import envelope
from app.models import AgentRun, RunEvent
from app.services.log_check import check
from tests.support import log_world
from tests.support.log_world import Holder
from tests.support.redis import RedisServer

pytestmark = pytest.mark.usefixtures("database")

ONE_ENGINE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def stream(redis: RedisServer) -> Iterator[RedisEventStream]:
    with connect(redis.url) as client:
        yield RedisEventStream(client)


@pytest.fixture
def good(stream: RedisEventStream) -> AgentRun:
    """A sealed run of three leases, with a message that its deltas add up to."""
    run = log_world.new_run()
    records = log_world.journal(8)
    for _ in range(3):
        holder = Holder(run.id, stream, records)
        for _ in range(2):
            holder.step()
    while holder.step():
        pass
    text = "".join(draft.data["text"] for drafts in records for draft in drafts if "text" in draft.data)
    holder.log.append([log_world.draft("message.stop", {"messageId": "m1", "text": text}, record=9)])
    holder.log.seal(log_world.ending(), log_world.finish(run.id))
    return AgentRun.get_by_id(run.id)


def codes(run: AgentRun, stream: RedisEventStream, *transcripts: Any) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in check(run.id, stream, transcripts)}


def transcript(run: AgentRun) -> list[dict[str, Any]]:
    lines = [envelope(event, run.session_id, run.trace_id) for event in log_world.in_sql(run.id)]
    return orjson.loads(orjson.dumps(lines))  # type: ignore[no-any-return]


def rewrite(redis: RedisServer, run: AgentRun, change: Any) -> None:
    """Write the stream again with other entries."""
    with redis.client(decode_responses=True) as client:
        entries = client.xrange(stream_key(run.id))
        client.delete(stream_key(run.id))
        for entry_id, fields in change(entries):
            client.xadd(stream_key(run.id), fields, id=entry_id)


def test_a_good_log_with_good_transcripts_has_no_findings(good: AgentRun, stream: RedisEventStream) -> None:
    whole = transcript(good)
    assert check(good.id, stream, [whole, whole[4:], whole[:3], []]) == []


@ONE_ENGINE
def test_a_row_that_sql_lacks(good: AgentRun, stream: RedisEventStream) -> None:
    RunEvent.delete().where(RunEvent.run_id == good.id, RunEvent.seq == 4).execute()
    assert {("gap", "sql"), ("count", "sql"), ("difference", "redis")} <= codes(good, stream)


@ONE_ENGINE
@pytest.mark.parametrize("changed", [{"type": "other"}, {"ts": 7.0}, {"src": "1:7"}, {"data": {"text": "other"}}])
def test_a_row_that_differs_from_the_stream(good: AgentRun, stream: RedisEventStream, changed: dict[str, Any]) -> None:
    RunEvent.update(changed).where(RunEvent.run_id == good.id, RunEvent.seq == 3).execute()
    assert ("difference", "redis") in codes(good, stream)


@ONE_ENGINE
def test_a_last_seq_that_counts_wrong(good: AgentRun, stream: RedisEventStream) -> None:
    AgentRun.update(last_seq=99).where(AgentRun.id == good.id).execute()
    assert ("count", "sql") in codes(good, stream)


@ONE_ENGINE
def test_an_end_without_a_terminal_state_and_the_other_way_round(good: AgentRun, stream: RedisEventStream) -> None:
    AgentRun.update(finished_at=None, status="running").where(AgentRun.id == good.id).execute()
    assert codes(good, stream) == {("end", "sql")}
    other = log_world.new_run()
    log_world.finish(other.id)(1)
    assert codes(other, stream) == {("end", "sql")}


@ONE_ENGINE
def test_an_event_after_the_end(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    def add(entries: Any) -> Any:
        last = entries[-1][0].partition("-")
        return [*entries, (f"{last[0]}-{int(last[2]) + 1}", entries[-2][1])]

    rewrite(redis, good, add)
    assert ("after_end", "redis") in codes(good, stream)


@ONE_ENGINE
def test_a_seq_that_the_stream_has_twice(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    """What two holders without a fence do: the old one writes on beside the new one."""

    def double(entries: Any) -> Any:
        marker = next(index for index, (entry_id, _) in enumerate(entries) if entry_id == "2-0")
        last = int(entries[marker - 1][0].partition("-")[2])
        return [*entries[:marker], (f"1-{last + 1}", entries[marker - 1][1]), *entries[marker:]]

    rewrite(redis, good, double)
    assert {("double", "redis"), ("old_epoch", "redis")} <= codes(good, stream)


@ONE_ENGINE
def test_a_lease_that_left_no_marker(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    rewrite(redis, good, lambda entries: [entry for entry in entries if entry[0] != "2-0"])
    assert ("no_marker", "redis") in codes(good, stream)


@ONE_ENGINE
def test_a_marker_that_goes_on_from_elsewhere(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    def change(entries: Any) -> Any:
        return [(each, {**fields, "last": "90"} if each == "2-0" else fields) for each, fields in entries]

    rewrite(redis, good, change)
    assert {("marker", "redis"), ("jump", "redis")} <= codes(good, stream)


@ONE_ENGINE
def test_a_hole_and_a_short_end_in_the_stream(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    rewrite(redis, good, lambda entries: [*entries[:5], *entries[6:-1]])
    assert {("jump", "redis"), ("gap", "redis"), ("difference", "redis")} <= codes(good, stream)


@ONE_ENGINE
def test_a_trimmed_stream_is_no_finding(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    for start in range(len(stream.entries(good.id))):
        rewrite(redis, good, lambda entries: entries[1:] if start else entries)  # noqa: B023 - used at once
        assert codes(good, stream) == set()


@ONE_ENGINE
def test_deltas_that_do_not_add_up(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    stop = next(event for event in log_world.in_sql(good.id) if event.type == "message.stop")
    RunEvent.update(data={**stop.data, "text": stop.data["text"] + "!"}).where(
        RunEvent.run_id == good.id, RunEvent.seq == stop.seq
    ).execute()
    redis.flush()
    assert codes(good, stream) == {("text", "sql")}


@ONE_ENGINE
def test_records_in_the_wrong_order(good: AgentRun, stream: RedisEventStream, redis: RedisServer) -> None:
    RunEvent.update(src="1:1").where(RunEvent.run_id == good.id, RunEvent.seq == 6).execute()
    redis.flush()
    assert codes(good, stream) == {("record_order", "sql")}


@ONE_ENGINE
def test_what_a_client_lacks_has_twice_or_got_otherwise(good: AgentRun, stream: RedisEventStream) -> None:
    whole = transcript(good)
    changed = [*whole[:3], {**whole[3], "data": {"text": "other"}}, *whole[4:]]
    foreign = [*whole, {**whole[-1], "seq": len(whole) + 1}]
    assert codes(good, stream, [*whole[:3], *whole[4:]]) == {("gap", "client 1")}
    assert codes(good, stream, whole, [*whole[:3], whole[2], *whole[3:]]) == {("double", "client 2")}
    assert codes(good, stream, changed) == {("difference", "client 1")}
    assert codes(good, stream, foreign) == {("difference", "client 1")}
