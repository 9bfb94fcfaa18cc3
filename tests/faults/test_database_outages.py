"""The database restarted or silent under runs that work, and many writers at once: nothing is lost, nothing is doubled (R10)."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, RunEvent
from tests.conftest import missing
from tests.faults.kit.outage import Caller, all_ended, all_streaming, assert_whole_runs, attempts_too_many, pause
from tests.faults.kit.proxy import FaultProxy, proxy_to
from tests.support.fleet import open_fleet
from tests.support.postgres import PostgresMissing, PostgresServer, postgres_server
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import serving
from tests.support.world import World, open_world

pytestmark = [pytest.mark.promise("R10"), pytest.mark.timeout(1800)]

on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
WRITERS = 20
WORKERS = 2 if LONG else 1


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server that these tests may restart."""
    if os.environ.get("PADDOCK_TEST_POSTGRES_URL"):
        pytest.skip("the server is not ours to restart")
    try:
        with postgres_server() as server:
            yield server
    except PostgresMissing as error:
        missing(str(error))


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, new_database_url: Callable[[str], str], tmp_path: Path
) -> Iterator[str]:
    """As everywhere, but a PostgreSQL is this module's own, and has a proxy in front."""
    if request.param == "sqlite":
        yield new_database_url("sqlite")
        return
    server: PostgresServer = request.getfixturevalue("own_postgres")
    name = f"outage_{os.urandom(4).hex()}"
    url = server.create(name)
    database = db.connect(url)
    db.migrate(database)
    database.close_all()
    yield url
    server.drop(name)


def create_many(world: World, sessions: int, each: int, prompt: str) -> list[str]:
    heads = [world.create(prompt) for _ in range(sessions)]
    return [run.id for run in heads] + [
        world.create(prompt, head.session_id).id for head in heads for _ in range(each - 1)
    ]


@on_postgres
def test_postgres_may_restart_under_runs(
    tmp_path: Path, database_url: str, redis_url: str, own_postgres: PostgresServer, figures: Figures
) -> None:
    """Long: 1,000 short runs, the server stopped every 5 to 40 s for 0 to 2 s (DBOS's pattern)."""
    sessions, each = (50, 20) if LONG else (4, 2)
    with open_world(tmp_path / "var", database_url, redis_url, lease_seconds=6.0) as world, open_fleet(world, WORKERS):
        ids = create_many(world, sessions, each, "hello" if LONG else "/slow 60 20")
        eventually(lambda: RunEvent.select().where(RunEvent.type == "message.delta").exists(), what="runs are at work")
        restarts = 0
        while restarts < 2 or (LONG and not all_ended(ids)):
            own_postgres.stop()
            pause(random.uniform(0.0, 2.0 if LONG else 0.5))
            own_postgres.start()
            restarts += 1
            ended = threading.Event()
            end = random.uniform(5.0, 40.0) if LONG else 0.5
            while end > 0 and not ended.wait(0.5):
                end -= 0.5
                if all_ended(ids):
                    ended.set()
        eventually(lambda: all_ended(ids), 120, what="all runs end")
        assert_whole_runs(world, ids)
        again = attempts_too_many(ids)
        assert again == 0
    figures.add("restarts of PostgreSQL", restarts)
    figures.add("runs lost or doubled", 0, "0 of 1,000", met=True)


@on_postgres
def test_postgres_may_be_silent_under_runs(
    tmp_path: Path, database_url: str, redis_url: str, own_postgres: PostgresServer, figures: Figures
) -> None:
    """A server that takes calls and says nothing: agents go on, web answers 503 in bounded time, and all goes on when it is back."""
    with ExitStack() as stack:
        proxy: FaultProxy = stack.enter_context(proxy_to(own_postgres.target))
        url = own_postgres.through(proxy.port, database_url)
        world = stack.enter_context(open_world(tmp_path / "var", url, redis_url, lease_seconds=6.0))
        web = stack.enter_context(serving(world.settings))
        stack.enter_context(open_fleet(world, WORKERS))
        live = [world.create(f"/slow {400 if LONG else 100} 20").id for _ in range(3)]
        eventually(lambda: all_streaming(live), what="all runs stream")
        caller = Caller(web.url, live[:1], create_seconds=1.0)
        caller.start()
        for seconds in (1.0, 12.0) if LONG else (1.0,):
            proxy.blackhole()
            pause(seconds)
            proxy.heal()
            pause(1.0)
        caller.finish()
        eventually(lambda: all_ended([*live, *caller.accepted]), 90, what="all runs end")
        assert_whole_runs(world, [*live, *caller.accepted])
        again = attempts_too_many(live)
        assert again == 0
    figures.add("longest answer of web", f"{caller.longest:.1f} s", "<= 30 s", met=caller.longest <= 30)


@on_sqlite
def test_twenty_writers_see_no_lock(tmp_path: Path, database_url: str, redis_url: str, figures: Figures) -> None:
    with (
        open_world(tmp_path / "var", database_url, redis_url, lease_seconds=6.0) as world,
        serving(world.settings, processes_count=2) as web,
        open_fleet(world, WORKERS) as fleet,
    ):
        begun = [world.create("/slow 100 20") for _ in range(4)]
        streaming, sessions = [run.id for run in begun], [run.session_id for run in begun]
        callers = [Caller(web.url, streaming[:1], session_id=sessions[n % 4]) for n in range(WRITERS)]
        for caller in callers:
            caller.start()
        pause(20.0 if LONG else 1.5)
        for caller in callers:
            caller.finish()
        accepted = [run_id for caller in callers for run_id in caller.accepted]
        eventually(lambda: all_ended([*streaming, *accepted]), 600, what="all runs end")
        answers = sum((caller.answers for caller in callers), start=type(callers[0].answers)())
        refused = {
            name: count
            for name, count in answers.items()
            if not name.endswith((" 200", " 202")) and not name.startswith("GET /ready")  # which tells of slowness too
        }
        assert refused == {}
        assert len(accepted) >= WRITERS
        assert {run.status for run in AgentRun.select().where(AgentRun.id.in_(accepted))} == {"succeeded"}
        for log in (fleet.log(), web.log.read_text()):
            assert "database is locked" not in log
            assert "database did not answer" not in log
        assert_whole_runs(world, streaming)
    longest = max(caller.longest for caller in callers)
    figures.add("answers to 20 writers", f"{answers.total()}, longest {longest:.1f} s, `database is locked` 0", "0")
