"""Redis and PostgreSQL away, killed, restarted or emptied under runs that work: nothing is lost, nothing is doubled (R9, R10)."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, RunEvent
from app.services.log_check import check
from tests.support.fleet import Fleet, open_fleet
from tests.support.postgres import PostgresServer, postgres_server
from tests.support.redis import RedisServer
from tests.support.waiting import eventually
from tests.support.world import World, open_world

LONG = bool(os.environ.get("PADDOCK_FAULTS_LONG"))
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, database_url: str, own_redis: RedisServer) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, own_redis.url, lease_seconds=6.0) as world:
        yield world


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)  # the length of an outage, not a wait for something


def all_streaming(ids: list[str]) -> bool:
    rows = RunEvent.select().where(RunEvent.run_id.in_(ids), RunEvent.type == "message.delta")
    return len({row.run_id for row in rows}) == len(ids)


def all_ended(ids: list[str]) -> bool:
    return not AgentRun.select().where(AgentRun.id.in_(ids), AgentRun.finished_at.is_null()).exists()


def assert_nothing_lost(world: World, ids: list[str], *, attempts: int = 1) -> None:
    for run_id in ids:
        run = world.run(run_id)
        assert (run.status, run.failure_code) == ("succeeded", None), (run_id, run.failure_message)
        assert run.attempt <= attempts
        events = world.events(run_id)
        text = "".join(event.data["text"] for event in events if event.type == "message.delta")
        assert text == run.message
        assert check(run_id, world.container.stream) == []


def with_outage(world: World, outage: Callable[[Fleet], None], count: int = 4) -> list[str]:
    """Have runs stream while the outage happens, and wait for their end."""
    with open_fleet(world, 2) as fleet:
        ids = [world.create("/slow 250 20").id for _ in range(count)]
        eventually(lambda: all_streaming(ids), what="all runs stream")
        outage(fleet)
        eventually(lambda: all_ended(ids), 90, what="all runs end")
    return ids


@sqlite_only
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [1.0, 5.0, 30.0] if LONG else [1.0])
def test_redis_may_be_away_for_a_while(world: World, own_redis: RedisServer, seconds: float) -> None:
    def outage(_: Fleet) -> None:
        own_redis.stop()
        pause(seconds)
        own_redis.start()

    assert_nothing_lost(world, with_outage(world, outage), attempts=1 if seconds < 6 else 2)


@sqlite_only
@pytest.mark.timeout(300)
def test_redis_may_lose_everything(world: World, own_redis: RedisServer) -> None:
    """Queued runs are rung for again from SQL, live ones go on, and their events are in SQL."""
    with open_fleet(world, 2) as fleet:
        live = [world.create("/slow 250 20").id for _ in range(3)]
        eventually(lambda: all_streaming(live), what="all runs stream")
        queued = [world.create("hello", world.run(live[0]).session_id).id for _ in range(3)]
        own_redis.client().flushall()
        fresh = [world.create("hello").id]
        eventually(lambda: all_ended([*live, *queued, *fresh]), 90, what="all runs end")
        assert fleet.workers
    assert_nothing_lost(world, [*live, *queued, *fresh])


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server that these tests may restart."""
    with postgres_server() as server:
        yield server


@pytest.mark.timeout(600)
def test_postgres_may_restart_under_runs(tmp_path: Path, own_postgres: PostgresServer, own_redis: RedisServer) -> None:
    if os.environ.get("PADDOCK_TEST_POSTGRES_URL"):
        pytest.skip("the server is not ours to restart")
    url = own_postgres.create("outage")
    database = db.connect(url)
    db.migrate(database)
    database.close_all()
    with open_world(tmp_path / "var", url, own_redis.url, lease_seconds=6.0) as world:

        def outage(_: Fleet) -> None:
            for _ in range(6 if LONG else 2):
                own_postgres.stop()
                pause(random.uniform(0.0, 2.0))
                own_postgres.start()
                pause(random.uniform(1.0, 3.0))

        ids = with_outage(world, outage)
        assert_nothing_lost(world, ids)
