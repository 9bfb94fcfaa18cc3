"""The disk or Redis fills under live runs: no new work before the cliff, nothing wrong at it, and all goes on when there is room (R21)."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import redis

from app import db
from app.services.watermarks import FRESH_SECONDS
from tests.faults.kit.outage import Caller, all_ended, all_streaming, api, assert_whole_runs, attempts_too_many, pause
from tests.support.fleet import open_fleet
from tests.support.redis import RedisServer, redis_server
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

pytestmark = [
    pytest.mark.promise("R21"),
    pytest.mark.timeout(400),
    pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True),
]
MIB = 1024 * 1024
WATERMARK = 24 * MIB
FULL_SECONDS = 20.0 if LONG else 1.5
"""Long: several leases."""


class Vessel(Protocol):
    """What is filled. `code` is what users are told."""

    code: str

    def nearly(self) -> None:
        """Fill it above its watermark, with room left for what runs."""

    def full(self) -> None: ...

    def free(self) -> None: ...


class Disk:
    """The disk of everything: SQLite, journals, objects, logs, the append-only file of Redis."""

    code = "disk_full"

    def __init__(self, disk: SmallDisk) -> None:
        self._disk = disk
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_full, daemon=True)

    def nearly(self) -> None:
        self._disk.fill(WATERMARK - 8 * MIB)

    def full(self) -> None:
        self._thread.start()
        eventually(lambda: self._disk.free == 0, what="the disk is full")

    def free(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._disk.make_room()

    def _keep_full(self) -> None:
        while not self._over.wait(0.01):
            self._disk.fill()


class Memory:
    """What Redis may use; it evicts nothing."""

    code = "redis_full"

    def __init__(self, server: RedisServer) -> None:
        self._client = server.client()

    def nearly(self) -> None:
        self._limit(1.08)

    def full(self) -> None:
        self._limit(0.5)
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            self._client.set("more", "x" * 1000)

    def free(self) -> None:
        self._client.config_set("maxmemory", 0)

    def _limit(self, part: float) -> None:
        used: Any = self._client.info("memory")
        self._client.config_set("maxmemory", int(used["used_memory"] * part))


@dataclass(frozen=True)
class Scene:
    world: World
    web: Server
    vessel: Vessel


@pytest.fixture(params=["disk", "redis"] if LONG else ["disk"])
def scene(request: pytest.FixtureRequest, database_url: str) -> Iterator[Scene]:
    """An installation whose PADDOCK_VAR is a small disk of its own, with web, workers and its own Redis on it."""
    with ExitStack() as stack:
        short = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="pdk-", dir="/tmp"))
        )  # the path of a socket is limited
        disk = stack.enter_context(small_disk(short / "small", 160))
        server = stack.enter_context(redis_server(below=str(disk.folder)))
        if database_url.startswith("sqlite:"):
            moved = disk.folder / "paddock.sqlite3"
            shutil.copyfile(database_url.removeprefix("sqlite:///"), moved)
            database_url = f"sqlite:///{moved}"
        settings = {"lease_seconds": 4.0, "min_free_bytes": WATERMARK}
        world = stack.enter_context(open_world(disk.folder / "var", database_url, server.url, **settings))
        environment = {"PADDOCK_MIN_FREE_BYTES": str(WATERMARK)}
        web = stack.enter_context(serving(world.settings, **environment))
        stack.enter_context(open_fleet(world, 1, **environment))
        vessel: Vessel = Disk(disk) if request.param == "disk" else Memory(server)
        yield Scene(world, web, vessel)
        vessel.free()


def test_what_fills_up_is_told_before_the_cliff_and_nothing_is_wrong_after_it(scene: Scene, figures: Figures) -> None:
    world, vessel, client = scene.world, scene.vessel, api(scene.web.url)
    soon = [world.create("/slow 40 20").id for _ in range(2)]
    late = [world.create(f"/slow {600 if LONG else 250} 20").id for _ in range(3)]
    eventually(lambda: all_streaming([*soon, *late]), what="the runs stream")

    vessel.nearly()
    pause(FRESH_SECONDS)  # what a worker found before may be a look old
    refused = eventually(lambda: refusal(client), what="new work is refused")
    assert (refused["code"], refused["retryable"], bool(refused["remedy"])) == (vessel.code, True, True)
    queued = world.create("hello").id
    assert client.get(f"/api/runs/{queued}").json()["waitingFor"]["reason"] == vessel.code
    eventually(lambda: wanting(client) == ["degraded", vessel.code], what="/ready says what is short")
    eventually(lambda: all_ended(soon), what="what runs goes on to its end")
    assert world.run(queued).status == "queued"

    caller = Caller(scene.web.url, late[:1], create_seconds=0.5)
    caller.start()
    vessel.full()
    pause(FULL_SECONDS)
    vessel.free()
    freed = time.monotonic()

    eventually(lambda: refusal(client) is None, 60, what="new work is taken again")
    figures.add("new work is taken again", f"{time.monotonic() - freed:.1f} s", "<= 30 s")
    caller.finish()
    everything = [*soon, *late, queued, *caller.accepted]
    eventually(lambda: all_ended(everything), 120, what="all runs end")
    figures.add("all runs have ended", f"{time.monotonic() - freed:.1f} s")
    assert_whole_runs(world, everything)
    assert_database_is_sound(world)
    again = attempts_too_many(late)
    figures.add("agents that began again", again, "0", met=again == 0)
    eventually(lambda: client.get("/ready").json()["status"] == "ok", what="ready again")
    client.close()


def wanting(client: httpx.Client) -> list[str]:
    ready = client.get("/ready").json()
    return [ready["status"], *(check.get("code", "-") for check in ready["checks"].values() if check["status"] != "ok")]


def refusal(client: httpx.Client) -> dict[str, Any] | None:
    """Try to start a run; the problem where it is refused as it should be, None where it is taken."""
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
    answer = client.post("/api/runs/start", json={"provider": "scripted", "prompt": "hello"}, headers=headers)
    if answer.status_code == 202:
        return None
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    found: dict[str, Any] = answer.json()
    return found


def assert_database_is_sound(world: World) -> None:
    if db.is_sqlite():
        with suppress(AttributeError):
            world.container.database.close()
        assert world.container.database.execute_sql("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert world.container.database.execute_sql("PRAGMA foreign_key_check").fetchall() == []
