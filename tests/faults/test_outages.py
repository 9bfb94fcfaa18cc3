"""Redis away, silent, killed, without its last seconds, or emptied under runs that work: nothing is lost (R9)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.models import RunEvent
from app.services.run_creation import NewRun, NewSession, create
from tests.factories import SilentBell
from tests.faults.kit.outage import (
    TOKEN,
    Caller,
    all_ended,
    all_streaming,
    assert_readers_got_everything,
    assert_whole_runs,
    attempts_too_many,
    pause,
)
from tests.faults.kit.proxy import FaultProxy, proxy_to
from tests.support.fleet import open_fleet
from tests.support.redis import RedisServer
from tests.support.stream_clients import SseClient
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

pytestmark = [
    pytest.mark.promise("R9"),
    pytest.mark.timeout(400),
    pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True),
]

WORKERS = 2 if LONG else 1


@dataclass(frozen=True)
class Scene:
    """A world whose Redis is reached through a proxy, with workers and web beside it, and runs that stream to readers."""

    world: World
    redis: RedisServer
    proxy: FaultProxy
    web: Server
    live: list[str]
    readers: list[SseClient]


Outage = Callable[[Scene], None]


def cut(seconds: float) -> Outage:
    def outage(scene: Scene) -> None:
        scene.proxy.cut()
        pause(seconds)
        for reader in scene.readers:  # what anybody saw is in SQL, without Redis
            seen = reader.last
            eventually(lambda reader=reader, seen=seen: saved(reader.run_id) >= seen, what="the events are in SQL")
        scene.proxy.heal()

    return outage


def blackhole(seconds: float) -> Outage:
    def outage(scene: Scene) -> None:
        scene.proxy.blackhole()
        pause(seconds)
        scene.proxy.heal()

    return outage


def killed(scene: Scene) -> None:
    scene.redis.restart()


def tail_lost(scene: Scene) -> None:
    assert scene.redis.lose_tail(4000) > 0


def emptied(scene: Scene) -> None:
    scene.redis.client().flushall()


def everything(scene: Scene) -> None:
    """All of it, one after the other: what `make test` has time for."""
    for outage in (cut(0.5), blackhole(0.5), killed, tail_lost, emptied):
        outage(scene)
        pause(0.2)


def saved(run_id: str) -> int:
    return int(RunEvent.select().where(RunEvent.run_id == run_id).count())


OUTAGES: dict[str, Outage] = {"all of it, briefly": everything}
if LONG:
    OUTAGES |= {f"cut for {seconds:g} s": cut(seconds) for seconds in (1, 5, 30)}
    OUTAGES |= {f"silent for {seconds:g} s": blackhole(seconds) for seconds in (1, 5, 30)}
    OUTAGES |= {"killed": killed, "without its last entries": tail_lost, "emptied": emptied}


@pytest.fixture
def scene(tmp_path: Path, database_url: str, own_redis: RedisServer) -> Iterator[Scene]:
    with (
        proxy_to(str(own_redis.socket)) as proxy,
        open_world(tmp_path / "var", database_url, f"redis://127.0.0.1:{proxy.port}/0", lease_seconds=6.0) as world,
        serving(world.settings) as web,
        open_fleet(world, WORKERS),
    ):
        live = [world.create(f"/slow {400 if LONG else 120} 20").id for _ in range(4)]
        readers = [SseClient(web.url, TOKEN, run_id, patience=300) for run_id in live]
        for reader in readers:
            reader.start()
        eventually(lambda: all_streaming(live) and all(reader.last for reader in readers), what="all runs stream")
        yield Scene(world, own_redis, proxy, web, live, readers)


@pytest.mark.parametrize("name", OUTAGES)
def test_redis_may_be_away_or_forget_and_nothing_is_lost(scene: Scene, figures: Figures, name: str) -> None:
    world = scene.world
    unheard = build_unheard(world, scene.live[0])
    caller = Caller(scene.web.url, scene.live[:1], create_seconds=1.0)
    caller.start()

    OUTAGES[name](scene)
    over_at = time.monotonic()

    pause(0.5)
    caller.finish()
    waiting = [*unheard, *caller.accepted]
    eventually(lambda: all_ended([*scene.live, *waiting]), 150, what="all runs end")
    seconds = time.monotonic() - over_at
    assert caller.accepted
    assert_whole_runs(world, [*scene.live, *waiting])
    assert_readers_got_everything(scene.web.url, scene.readers)
    again = attempts_too_many(scene.live)
    assert again <= 1
    figures.add(f"{name}: agents that began again", again, "<= 1", met=again <= 1)
    figures.add(f"{name}: all {len(waiting)} queued runs run", f"{seconds:.1f} s", "<= 120 s", met=seconds <= 120)
    figures.add(f"{name}: longest answer of web", f"{caller.longest:.1f} s", "<= 30 s", met=caller.longest <= 30)


def build_unheard(world: World, live: str) -> list[str]:
    """Create runs that nobody rang for: SQL alone knows of them. Two wait behind a live run, two for a worker."""
    session, user = world.run(live).session_id, world.user
    places = (session, session, NewSession(), NewSession())
    new = [NewRun(user.tenant_id, user.id, place, "scripted", "hello") for place in places]
    return [create(run, SilentBell()).id for run in new]
