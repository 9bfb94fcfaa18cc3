"""What every EventStream does, on the real Redis: fence, append with its five answers, read, trim."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app import ids
from app.adapters.redis_connection import answering, connect
from app.adapters.redis_event_stream import KEPT, RedisEventStream, channel, decode_message, stream_key
from app.domain.events import Event
from app.errors import Unavailable
from app.ports import EventStream, FenceAnswer
from tests.support.redis import RedisServer

RUN = "run_01"


@pytest.fixture
def stream(redis: RedisServer) -> Iterator[EventStream]:
    with connect(redis.url) as client:
        yield RedisEventStream(client)


def event(seq: int, text: str = "", ts: float = 0.0) -> Event:
    return Event(RUN, seq, "message.delta", {"text": text or f"t{seq}"}, ts or 1_700_000_000 + seq / 1000, f"1:{seq}")


def events(first: int, last: int) -> list[Event]:
    return [event(seq) for seq in range(first, last + 1)]


def cut(redis: RedisServer, above: str) -> None:
    """Lose the tail as a person with `redis-cli` would: the stream remembers the highest id it had."""
    with redis.client() as client:
        for entry_id, _ in client.xrange(stream_key(RUN), f"({above}"):
            client.xdel(stream_key(RUN), entry_id)


def test_the_first_lease_of_a_run_begins_an_empty_log(stream: EventStream) -> None:
    assert stream.fence(RUN, 1, 0) == FenceAnswer(True, 0)
    assert stream.append(RUN, 1, events(1, 3)) == "OK"
    assert stream.read(RUN, 0, 100) == events(1, 3)
    assert stream.top(RUN) == 3


def test_an_append_that_is_repeated_is_had_already(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 3))
    assert stream.append(RUN, 1, events(1, 3)) == "HAVE"
    assert stream.append(RUN, 1, events(2, 2)) == "HAVE"
    assert stream.append(RUN, 1, events(2, 5)) == "OK"
    assert stream.read(RUN, 0, 100) == events(1, 5)


def test_an_append_above_a_lost_tail_finds_the_gap(stream: EventStream, redis: RedisServer) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 5))
    cut(redis, "1-3")
    assert stream.append(RUN, 1, events(6, 6)) == "GAP"
    assert stream.top(RUN) == 3
    assert stream.append(RUN, 1, events(4, 6)) == "OK"
    assert stream.read(RUN, 0, 100) == events(1, 6)


def test_an_append_without_its_marker_is_lost(stream: EventStream, redis: RedisServer) -> None:
    assert stream.append(RUN, 1, events(1, 1)) == "LOST"
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 2))
    stream.fence(RUN, 2, 2)
    cut(redis, "1-2")
    assert stream.append(RUN, 2, events(3, 3)) == "LOST"
    assert stream.fence(RUN, 2, 2) == FenceAnswer(True, 2)
    assert stream.append(RUN, 2, events(3, 3)) == "OK"
    redis.flush()
    assert stream.append(RUN, 2, events(4, 4)) == "LOST"


def test_an_old_epoch_is_fenced_off(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 2))
    assert stream.fence(RUN, 3, 0) == FenceAnswer(True, 2)
    assert stream.append(RUN, 1, events(3, 3)) == "FENCED"
    assert stream.append(RUN, 1, events(2, 2)) == "FENCED"
    assert stream.fence(RUN, 2, 0) == FenceAnswer(False, 2)
    assert stream.append(RUN, 2, events(3, 3)) == "FENCED"
    assert stream.append(RUN, 3, events(3, 3)) == "OK"


def test_nothing_follows_run_closed(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, [event(1), Event(RUN, 2, "run.closed", {}, 1.0, "1:-")])
    assert stream.append(RUN, 1, events(3, 3)) == "FENCED"
    assert stream.append(RUN, 1, events(2, 2)) == "HAVE"


def test_a_fence_is_idempotent_and_marks_once(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 2))
    for _ in range(3):
        assert stream.fence(RUN, 2, 2) == FenceAnswer(True, 2)
    stream.append(RUN, 2, events(3, 3))
    assert stream.fence(RUN, 2, 2) == FenceAnswer(True, 3)
    assert [(entry.epoch, entry.seq) for entry in stream.entries(RUN)] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 3)]


def test_entries_of_a_stale_holder_are_cut_when_the_rightful_one_says_what_it_knows(
    stream: EventStream, redis: RedisServer
) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 5))
    assert stream.fence(RUN, 2, 0, known=3) == FenceAnswer(True, 3)
    assert stream.append(RUN, 2, [event(4, "right")]) == "OK"
    assert [each.data["text"] for each in stream.read(RUN, 2, 10)] == ["t3", "right"]


def test_a_stream_that_is_a_little_behind_sql_goes_on_from_its_own_end(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 2))
    assert stream.fence(RUN, 2, 2 + KEPT) == FenceAnswer(True, 2)


def test_a_stream_that_is_far_behind_sql_begins_anew(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, events(1, 2))
    assert stream.fence(RUN, 2, 3 + KEPT) == FenceAnswer(True, 3)
    assert stream.read(RUN, 0, 10) == []
    assert stream.append(RUN, 2, events(4, 4)) == "OK"
    assert stream.fence("run_gone", 7, 5000) == FenceAnswer(True, 5000 - KEPT)


def test_the_stream_reads_like_a_log(stream: EventStream, redis: RedisServer) -> None:
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, [Event(RUN, 1, "message.delta", {"text": "hi"}, 1_700_000_000.123, "1:4")])
    with redis.client(decode_responses=True) as client:
        (marker_id, marker), (entry_id, entry) = client.xrange(f"paddock:run:{RUN}:events")
    assert marker_id == "1-0"
    assert {**marker, "ts": "-"} == {"type": "lease", "epoch": "1", "last": "0", "ts": "-"}
    assert entry_id == "1-1"
    assert entry == {
        "type": "message.delta",
        "ts": "2023-11-14T22:13:20.123Z",
        "src": "1:4",
        "data": '{"text":"hi"}',
    }


def test_every_millisecond_comes_back_as_it_was_given(stream: EventStream) -> None:
    times = [round(1_799_999_999 + step * 0.001, 3) for step in range(0, 4000, 7)]
    written = [event(seq, ts=ts) for seq, ts in enumerate(times, 1)]
    stream.fence(RUN, 1, 0)
    stream.append(RUN, 1, written)
    assert stream.read(RUN, 0, 1000) == written


def test_reading_pages_through_epochs_without_markers(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    for seq in range(1, 701):
        if seq % 50 == 0:
            stream.fence(RUN, 1 + seq // 50, 0)
        assert stream.append(RUN, 1 + seq // 50, [event(seq)]) == "OK"
    assert stream.read(RUN, 0, 10_000) == events(1, 700)
    assert stream.read(RUN, 649, 10_000) == events(650, 700)
    assert stream.read(RUN, 300, 7) == events(301, 307)
    assert stream.read(RUN, 700, 10) == []
    assert stream.tops([RUN, "run_other"]) == {RUN: 700, "run_other": 0}


def test_trimming_keeps_what_sql_lacks_and_the_newest(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    for first in range(1, 6001, 100):
        stream.append(RUN, 1, events(first, first + 99))
    stream.trim(RUN, 3000)
    assert stream.read(RUN, 0, 1)[0].seq <= 1001
    stream.trim(RUN, 6000)
    kept = stream.read(RUN, 0, 10_000)
    assert kept[-1].seq == 6000
    assert KEPT <= len(kept) < KEPT + 200
    assert kept == events(kept[0].seq, 6000)


def test_each_append_is_published_once_whole(stream: EventStream, redis: RedisServer) -> None:
    odd = [event(1, "line\nfeed \u2028 \x00 🙂"), event(2, '"\\')]
    with redis.client() as client, client.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(channel(RUN))
        pubsub.get_message(timeout=5)
        stream.fence(RUN, 1, 0)
        stream.append(RUN, 1, odd)
        stream.append(RUN, 1, odd)
        stream.append(RUN, 1, events(3, 3))
        messages = [pubsub.get_message(timeout=5) for _ in range(2)]
        assert [decode_message(RUN, message["data"]) for message in messages] == [odd, events(3, 3)]


def test_two_writers_of_one_epoch_and_seq_never_double_it(stream: EventStream) -> None:
    stream.fence(RUN, 1, 0)
    answers: list[str] = []

    def write() -> None:
        answers.extend(stream.append(RUN, 1, [event(seq)]) for seq in range(1, 200))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.read(RUN, 0, 1000) == events(1, 199)
    assert answers.count("OK") == 199


def test_a_closed_stream_lives_for_its_time(stream: EventStream, redis: RedisServer) -> None:
    stream.fence(RUN, 1, 0)
    stream.expire(RUN, 1000)
    stream.append(RUN, 1, events(1, 1))
    with redis.client() as client:
        assert 990 < client.ttl(stream_key(RUN)) <= 1000


def test_redis_that_is_away_is_unavailable_and_the_scripts_survive_a_restart(own_redis: RedisServer) -> None:
    with connect(own_redis.url) as client:
        stream = RedisEventStream(client)
        stream.fence(RUN, 1, 0)
        own_redis.stop()
        with pytest.raises(Unavailable) as caught:
            stream.append(RUN, 1, events(1, 1))
        assert caught.value.code == "redis_unavailable"
        own_redis.start()
        stream.fence(RUN, 1, 0)
        assert stream.append(RUN, 1, events(1, 1)) == "OK"


def test_a_full_redis_is_unavailable_and_loses_nothing(own_redis: RedisServer) -> None:
    with connect(own_redis.url) as client:
        stream = RedisEventStream(client)
        stream.fence(RUN, 1, 0)
        stream.append(RUN, 1, events(1, 2))
        client.config_set("maxmemory", "1")
        with pytest.raises(Unavailable):
            stream.append(RUN, 1, events(3, 3))
        with pytest.raises(Unavailable):
            stream.fence(RUN, 2, 2)
        with pytest.raises(Unavailable), answering():
            client.set("outside of scripts", "too")
        client.config_set("maxmemory", "0")
        assert stream.append(RUN, 1, events(3, 3)) == "OK"
        assert stream.read(RUN, 0, 10) == events(1, 3)


def test_a_time_on_the_wire_survives_there_and_back() -> None:
    assert ids.rfc3339_of(ids.posix_of("2026-01-02T03:04:05.678Z")) == "2026-01-02T03:04:05.678Z"
