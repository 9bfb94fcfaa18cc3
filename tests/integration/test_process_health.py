"""Which process of an installation does not get on, told from what they report: over a real Redis and real workers' threads."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import pytest
import redis

from app.adapters.dramatiq_bell import RUNS_QUEUE, make_broker
from app.adapters.redis_process_board import KEY, RedisProcessBoard
from app.ports import ProcessReport
from app.services import holders, process_health, run_claims
from app.services.process_health import Reporter
from app.services.progress import Progress
from app.services.run_worker import RunWorker
from tests.support import web as web_support
from tests.support.redis import RedisServer
from tests.support.waiting import eventually
from tests.support.world import open_world
from workers import actors, turning

ELSEWHERE = "otherhost:1:1:000000000000:aaaaaaaa"


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


@pytest.fixture
def board(client: redis.Redis) -> RedisProcessBoard:
    return RedisProcessBoard(client)


def report(name: str, component: str = "worker", *, stuck: float = 0.0, streams: int = 0) -> ProcessReport:
    return ProcessReport(component, name, 0.0, stuck > 0, stuck, "threads: it does not turn" if stuck else "", streams)


def age(client: redis.Redis, name: str, seconds: float) -> None:
    """As if a process had reported so long ago."""
    fields = json.loads(client.hget(KEY, name))  # type: ignore[arg-type]
    client.hset(KEY, name, json.dumps({**fields, "at": fields["at"] - seconds}))


def name_of_the_dead() -> str:
    script = "from app.services import holders; print(holders.name_of_this_process())"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def look(board: RedisProcessBoard, awake: float = 1000.0) -> dict[str, tuple[str, int]]:
    return {
        state.name: (state.state, round(state.seconds)) for state in process_health.look(board, 20, awake_seconds=awake)
    }


def test_a_silent_process_is_wedged_since_it_fell_silent(board: RedisProcessBoard, client: redis.Redis) -> None:
    own = holders.name_of_this_process()
    board.put(report(own))
    board.put(report(ELSEWHERE))
    assert look(board) == {own: ("ok", 0), ELSEWHERE: ("ok", 0)}
    age(client, own, 21)
    assert look(board) == {own: ("wedged", 21), ELSEWHERE: ("ok", 0)}
    board.put(report(own))
    assert look(board)[own] == ("ok", 0)
    age(client, ELSEWHERE, process_health.FORGET_SECONDS + 1)
    assert look(board) == {own: ("ok", 0)}  # another of its kind lives
    board.remove([own])
    assert look(board)[ELSEWHERE][0] == "wedged"


def test_a_process_that_says_it_is_stuck_is_wedged_since_then(board: RedisProcessBoard) -> None:
    board.put(report(ELSEWHERE, stuck=33))
    assert look(board) == {ELSEWHERE: ("wedged", 33)}


def test_a_dead_process_is_missed_only_while_none_of_its_kind_lives(
    board: RedisProcessBoard, client: redis.Redis
) -> None:
    dead, own = name_of_the_dead(), holders.name_of_this_process()
    board.put(report(dead, "scheduler"))
    assert look(board) == {}  # somebody starts it again
    age(client, dead, 60)
    assert look(board) == {dead: ("gone", 60)}
    assert look(board, awake=5) == {}  # who asks has only begun, perhaps it comes yet
    board.put(report(own, "scheduler"))
    assert look(board) == {own: ("ok", 0)}


def test_a_reporter_clears_away_its_dead_predecessors_and_leaves_nothing_when_it_goes(board: RedisProcessBoard) -> None:
    dead, own = name_of_the_dead(), holders.name_of_this_process()
    board.put(report(dead))
    board.put(report(name_of_the_dead(), "scheduler"))
    reporter = Reporter("worker", own, Progress(), board)
    reporter.start()
    eventually(lambda: [seen.report.name for seen in board.list() if seen.report.component == "worker"] == [own])
    assert len(board.list()) == 2
    reporter.leave()
    eventually(lambda: not [seen for seen in board.list() if seen.report.name == own])


def test_what_another_version_reports_is_left_out(board: RedisProcessBoard, client: redis.Redis) -> None:
    client.hset(KEY, "odd", b'{"at": 1, "mood": "fine"}')
    client.hset(KEY, "odder", b"not JSON")
    assert board.list() == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_health_says_that_it_cannot_know_while_redis_is_away(
    database: object, database_url: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    web = web_support.make(web_support.settings_of(tmp_path / "var", database_url, own_redis.url))
    assert web.get("/health").status_code == 200
    own_redis.stop()
    answer = web.get("/health")
    assert answer.status_code == 503
    assert [name for name, check in answer.json["checks"].items() if check["status"] != "ok"] == ["processes"]
    own_redis.restart()
    eventually(lambda: web.get("/health").status_code == 200)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_hub_that_stands_still_is_unhealthy(
    database: object, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = web_support.settings_of(
        tmp_path / "var", database_url, redis_url, heartbeat_seconds=0.05, wedged_seconds=0.3
    )
    web = web_support.make(settings)
    hub = web.app.extensions["paddock"].hub
    gate, reader = threading.Event(), hub._reader
    with hub.join("run_none"):
        eventually(lambda: web.container.progress._loops["hub"].turned_at)
        assert web.get("/health").status_code == 200
        hub._positions = lambda _: gate.wait() and {}
        eventually(lambda: web.get("/health").status_code == 503)
        assert "hub" in web.get("/health").json["checks"]["hub"]["error"]
        gate.set()
        eventually(lambda: web.get("/health").status_code == 200)
    assert hub._reader is reader
    hub.close()


class Pool:
    """A Dramatiq worker of two threads whose actor does what the test wants."""

    def __init__(self, url: str) -> None:
        self.broker = make_broker(url)
        self.progress = Progress()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        actors.declare(self.broker, self._stand, lambda: None)
        self.worker = dramatiq.Worker(self.broker, queues={RUNS_QUEUE}, worker_threads=2, worker_timeout=20)
        turning.expect(self.progress, 0.5)
        turning.watch(self.worker, self.progress)
        self.worker.start()

    def _stand(self) -> None:
        self.entered.release()
        self.gate.wait()

    def ring(self) -> None:
        self.broker.enqueue(dramatiq.Message(RUNS_QUEUE, actors.DRIVE_RUNS, (), {}, {}))


@pytest.fixture
def pool(redis_url: str) -> Iterator[Pool]:
    made = Pool(redis_url)
    yield made
    made.gate.set()
    made.worker.stop(2000)


def test_a_pool_whose_threads_all_wait_for_one_another_is_stuck_and_one_with_a_free_thread_is_not(pool: Pool) -> None:
    eventually(lambda: pool.progress._loops["bells"].turned_at)
    pool.ring()
    assert pool.entered.acquire(timeout=10)
    turned = pool.progress._loops["threads"].turned_at or 0
    eventually(lambda: (pool.progress._loops["threads"].turned_at or 0) > turned + 0.2)  # the free one comes by
    pool.ring()
    assert pool.entered.acquire(timeout=10)
    stuck = eventually(pool.progress.find_stuck)
    assert (stuck.loop, stuck.why) == ("threads", "it does not turn")
    pool.gate.set()
    eventually(lambda: pool.progress.find_stuck() is None)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_claim_loop_that_raises_is_stuck_until_claiming_works(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_world(tmp_path / "var", database_url, redis_url) as world:
        worker = RunWorker("test", world.container.driver_parts)
        progress = world.container.progress
        now = time.monotonic()
        monkeypatch.setattr(progress, "_clock", lambda: now)

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("no such column")

        with monkeypatch.context() as patched:
            patched.setattr(run_claims, "take_next", broken)
            for _ in range(2):
                with pytest.raises(RuntimeError):
                    worker.drive_until_idle()
                now += 5
        stuck = progress.find_stuck()
        assert stuck is not None
        assert "no such column" in stuck.why
        worker.drive_until_idle()
        assert progress.find_stuck() is None
