"""Clients that follow runs through the hub get every event once, in order, whatever happens to them, Redis or the feed."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import peewee
import pytest

from app import db, ids
from app.adapters.redis_connection import connect
from app.adapters.redis_event_stream import RedisEventStream, channel
from app.adapters.redis_live_feed import RedisLiveFeed
from app.domain.events import Event
from app.models import AgentRun
from app.services.log_reader import LogReader
from tests.support import log_world
from tests.support.redis import RedisServer
from tests.support.waiting import eventually
from web.channel import Batch, Heartbeat, Reset
from web.hub import PAGE, Hub, Item, Subscription

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def stream(redis: RedisServer) -> Iterator[RedisEventStream]:
    with connect(redis.url) as client:
        yield RedisEventStream(client)


@pytest.fixture
def make_hub(redis: RedisServer, stream: RedisEventStream) -> Iterator[Callable[..., Hub]]:
    hubs: list[Hub] = []

    def make(heartbeat_seconds: float = 15.0, url: str = "", reader: LogReader | None = None) -> Hub:
        hub = Hub(reader or LogReader(stream), RedisLiveFeed(url or redis.url), heartbeat_seconds)
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.close()


@dataclass
class Client:
    """Reads a subscription in a thread of its own and keeps what it got."""

    subscription: Subscription
    events: list[Event] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with db.connection():
            for item in self.subscription:
                self.items.append(item)
                if isinstance(item, Batch):
                    self.events += item.events

    @property
    def seqs(self) -> list[int]:
        return [event.seq for event in self.events]

    def ended(self) -> Client:
        self.thread.join(30)
        assert not self.thread.is_alive(), f"still following after {self.seqs[-3:]}"
        return self

    def has(self, seq: int) -> None:
        eventually(lambda: self.events and self.events[-1].seq >= seq, what=f"event {seq}")


def test_a_client_gets_the_past_then_the_present_then_the_end(
    make_hub: Callable[..., Hub], stream: RedisEventStream
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.status("running")])
    log.append([log_world.delta(1)])

    client = Client(make_hub().join(run.id))
    client.has(3)
    log.append([log_world.delta(2), log_world.delta(2, "more")])
    client.has(5)
    log.seal(log_world.ending(), log_world.finish(run.id))

    assert client.ended().events == log_world.in_sql(run.id)


def test_a_client_that_joins_behind_its_cursor_gets_only_what_follows(
    make_hub: Callable[..., Hub], stream: RedisEventStream
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    for record in range(1, 2 * PAGE + 3):
        log.append([log_world.delta(record)])
    log.seal(log_world.ending(), log_world.finish(run.id))
    hub = make_hub()
    for cursor in (0, 1, PAGE, log.last_seq - 1):
        assert Client(hub.join(run.id, cursor)).ended().seqs == list(range(cursor + 1, log.last_seq + 1))


def test_a_client_that_has_everything_of_an_ended_run_is_let_go(
    make_hub: Callable[..., Hub], stream: RedisEventStream
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert Client(make_hub().join(run.id, log.last_seq)).ended().items == []


@pytest.mark.parametrize("ended", [True, False])
def test_a_cursor_beyond_the_log_gets_a_reset_and_the_log_from_one(
    make_hub: Callable[..., Hub], stream: RedisEventStream, ended: bool
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    log.append([log_world.delta(1)])
    if ended:
        log.seal(log_world.ending(), log_world.finish(run.id))
    client = Client(make_hub().join(run.id, 99))
    client.has(log.last_seq)
    assert client.items[0] == Reset(99)
    assert client.seqs == list(range(1, log.last_seq + 1))


def test_event_one_of_a_queued_run_is_there_before_any_worker_is(make_hub: Callable[..., Hub]) -> None:
    client = Client(make_hub().join(log_world.new_run().id))
    client.has(1)


def test_a_message_that_pubsub_lost_is_made_good_at_the_heartbeat(
    make_hub: Callable[..., Hub], stream: RedisEventStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    hub = make_hub(heartbeat_seconds=0.2)
    client = Client(hub.join(run.id))
    client.has(1)
    monkeypatch.setattr(hub, "_deliver", lambda *_: None)
    hub._feed._deliver = hub._deliver  # type: ignore[attr-defined]
    log.append([log_world.delta(1)])
    client.has(2)


def test_a_gap_between_messages_is_read_from_the_log(make_hub: Callable[..., Hub], stream: RedisEventStream) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    hub = make_hub()
    client = Client(hub.join(run.id))
    client.has(1)
    log.append([log_world.delta(1)])
    client.has(2)
    deliver = hub._feed._deliver  # type: ignore[attr-defined]
    hub._feed._deliver = lambda *_: None  # type: ignore[attr-defined]
    log.append([log_world.delta(2)])
    with db.connection():
        hub._feed._deliver = deliver  # type: ignore[attr-defined]
        log.append([log_world.delta(3)])
    client.has(4)
    assert client.seqs == [1, 2, 3, 4]


def test_what_was_written_to_sql_alone_comes_when_the_hub_is_poked(make_hub: Callable[..., Hub]) -> None:
    run = log_world.new_run()
    hub = make_hub()
    client = Client(hub.join(run.id))
    client.has(1)
    with db.transaction():
        AgentRun.update(last_seq=2).where(AgentRun.id == run.id).execute()
        log_world.RunEvent.insert(
            run_id=run.id,
            seq=2,
            tenant_id=run.tenant_id,
            type="run.status",
            ts=1.5,
            src="0:-",
            data={"status": "claimed"},
        ).execute()
    hub.poke(run.id)
    client.has(2)


def test_clients_of_one_run_share_what_is_decoded_and_rendered(
    make_hub: Callable[..., Hub], stream: RedisEventStream
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    hub = make_hub()
    clients = [Client(hub.join(run.id)) for _ in range(5)]
    for client in clients:
        client.has(1)
    rendered: list[int] = []
    log.append([log_world.delta(1)])
    for client in clients:
        client.has(2)
        last = client.items[-1]
        assert isinstance(last, Batch)
        last.rendered("sse", lambda events: rendered.append(events[0].seq) or b"frame")  # type: ignore[func-returns-value]
    assert rendered == [2]
    assert len({id(client.items[-1]) for client in clients}) == 1


def test_a_client_that_reads_nothing_costs_no_memory_and_misses_nothing(
    make_hub: Callable[..., Hub], stream: RedisEventStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.hub.RECENT_BYTES", 20_000)
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    hub = make_hub()
    fast, slow = Client(hub.join(run.id)), hub.join(run.id)
    fast.has(1)
    for record in range(1, 1001):
        log.append([log_world.delta(record, "x" * 100)])
        if record % 50 == 0:
            fast.has(record)
            kept = hub._channels[run.id]
            assert kept._size <= 20_000
            assert sum(batch.size for batch in kept._recent) == kept._size
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert fast.ended().events == log_world.in_sql(run.id)
    assert [event for item in slow if isinstance(item, Batch) for event in item.events] == log_world.in_sql(run.id)


def test_fifty_clients_that_drop_at_random_get_each_log_byte_for_byte(
    make_hub: Callable[..., Hub], stream: RedisEventStream
) -> None:
    runs = [log_world.new_run() for _ in range(5)]
    hubs = [make_hub(heartbeat_seconds=0.5) for _ in range(2)]
    problems: list[str] = []

    def render(event: Event) -> bytes:
        return f"{event.seq} {event.type} {ids.rfc3339_of(event.ts)} {event.src} {event.data}\n".encode()

    def follow(number: int) -> None:
        dice, run, got, cursor = random.Random(number), runs[number % len(runs)], b"", 0
        while True:
            budget = dice.randint(1, 40)
            with db.connection(), hubs[dice.randrange(2)].join(run.id, cursor) as subscription:
                closed = True
                for item in subscription:
                    if isinstance(item, Reset):
                        problems.append(f"client {number} was reset at {cursor}")
                    if isinstance(item, Batch):
                        got += b"".join(render(event) for event in item.events)
                        cursor = item.last
                    budget -= 1
                    if budget == 0:
                        closed = False
                        break
            if closed:
                break
        with db.connection():
            if got != b"".join(render(event) for event in log_world.in_sql(run.id)):
                problems.append(f"client {number} differs from the archive")

    def write(run: AgentRun) -> None:
        dice = random.Random(run.id)
        with db.connection():
            log = log_world.take_over(run.id, stream)
            for record in range(1, 201):
                if dice.random() < 0.02:
                    log = log_world.take_over(run.id, stream)
                if dice.random() < 0.05:
                    log.append([log_world.status("running")])
                log.append([log_world.delta(record, str(piece)) for piece in range(dice.randint(1, 3))])
                log.flush_due(0.05)
            log.seal(log_world.ending(), log_world.finish(run.id))

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(50)]
    threads += [threading.Thread(target=write, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert problems == []
    eventually(lambda: not any(hub._channels for hub in hubs), what="no client left")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_clients_stay_while_redis_is_away_and_go_on_when_it_is_back(
    own_redis: RedisServer, make_hub: Callable[..., Hub], database: peewee.Database
) -> None:
    with connect(own_redis.url) as client:
        stream = RedisEventStream(client)
        run = log_world.new_run()
        log = log_world.take_over(run.id, stream)
        hub = make_hub(heartbeat_seconds=0.2, url=own_redis.url, reader=LogReader(stream))
        follower = Client(hub.join(run.id))
        follower.has(1)
        own_redis.stop()
        eventually(lambda: not hub._feed.connected(), what="the feed notices")
        seen = len(follower.items)
        eventually(lambda: len(follower.items) > seen + 1, what="heartbeats go on")
        late = Client(hub.join(run.id))
        late.has(1)
        beyond = Client(hub.join(run.id, 50))  # nobody can tell now whether Redis has so many
        own_redis.start()
        eventually(hub._feed.connected, what="the feed is back")
        log.append([log_world.delta(1)])
        log.seal(log_world.ending(), log_world.finish(run.id))
        for each in (follower, late, beyond):
            assert each.ended().events == log_world.in_sql(run.id)
        assert [item for item in beyond.items if isinstance(item, Reset)] == [Reset(50)]


def test_a_feed_that_is_cut_subscribes_again_by_itself(
    make_hub: Callable[..., Hub], stream: RedisEventStream, redis: RedisServer
) -> None:
    run = log_world.new_run()
    log = log_world.take_over(run.id, stream)
    client = Client(make_hub().join(run.id))
    client.has(1)
    with redis.client() as admin:
        eventually(lambda: admin.pubsub_numsub(channel(run.id))[0][1] == 1, what="subscribed")
        for other in admin.client_list(_type="pubsub"):
            admin.client_kill_filter(_id=other["id"])
    for record in range(1, 30):
        log.append([log_world.delta(record)])
    client.has(30)
    log.seal(log_world.ending(), log_world.finish(run.id))
    assert client.ended().events == log_world.in_sql(run.id)


def test_heartbeats_tell_how_far_the_client_is(make_hub: Callable[..., Hub]) -> None:
    client = Client(make_hub(heartbeat_seconds=0.05).join(log_world.new_run().id))
    eventually(lambda: client.items[-2:] == [Heartbeat(1), Heartbeat(1)], what="two heartbeats")


def test_a_closed_hub_lets_everybody_go(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    client = Client(hub.join(log_world.new_run().id))
    client.has(1)
    hub.close()
    client.ended()
    assert list(hub.join(log_world.new_run().id)) == []


def test_the_last_client_of_a_run_takes_its_subscription_along(
    make_hub: Callable[..., Hub], redis: RedisServer
) -> None:
    hub, run = make_hub(), log_world.new_run()
    one, two = hub.join(run.id), hub.join(run.id)
    with redis.client() as admin:
        eventually(lambda: admin.pubsub_numsub(channel(run.id))[0][1] == 1, what="subscribed")
        one.close()
        assert run.id in hub._channels
        two.close()
        two.close()
        eventually(lambda: admin.pubsub_numsub(channel(run.id))[0][1] == 0, what="unsubscribed")
