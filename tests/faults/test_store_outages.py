"""The object store away or silent while runs save: they end with the truth, sandboxes stay, and all is saved when it is back (R11)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.domain import storage
from app.errors import AppError
from app.models import AgentRun, Snapshot
from app.services import worker_rows
from tests.faults.kit.outage import all_ended, all_streaming, api, pause
from tests.faults.kit.proxy import FaultProxy, proxy_to
from tests.support.fleet import open_fleet
from tests.support.s3 import S3Server, rclone_server
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import Server, serving
from tests.support.world import World, open_world

pytestmark = [
    pytest.mark.promise("R11"),
    pytest.mark.timeout(600),
    pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True),
]
SECONDS = 60.0 if LONG else 3.0


@dataclass(frozen=True)
class Scene:
    world: World
    proxy: FaultProxy
    web: Server


@pytest.fixture
def scene(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Scene]:
    """A world whose objects lie in an S3 behind a proxy, with web, a worker and the scheduler."""
    with ExitStack() as stack:
        s3 = stack.enter_context(rclone_server(tmp_path / "rclone"))
        proxy = stack.enter_context(proxy_to(("127.0.0.1", s3.port)))
        through = S3Server(proxy.port)
        world = stack.enter_context(
            open_world(tmp_path / "var", database_url, redis_url, lease_seconds=2.0, **through.settings)
        )
        web = stack.enter_context(serving(world.settings, **through.environment))
        stack.enter_context(open_fleet(world, 1, **through.environment))
        yield Scene(world, proxy, web)


@pytest.mark.parametrize("how", ["cut", "silent"] if LONG else ["cut"])
def test_a_run_ends_with_the_truth_and_is_saved_when_the_store_is_back(
    scene: Scene, how: str, figures: Figures
) -> None:
    world, client = scene.world, api(scene.web.url)
    prompt = "/write a.txt one\n/slow 60 20\n/write b.txt two"
    runs = [world.create(prompt, options={"approval": "all"}) for _ in range(2)]
    ids = [run.id for run in runs]
    eventually(lambda: all_streaming(ids), what="the runs stream")

    begun = time.monotonic()
    scene.proxy.cut() if how == "cut" else scene.proxy.blackhole()
    eventually(lambda: all_ended(ids), 200, what="the runs end without the store")
    assert_told(world, client, ids)
    pause(max(0.0, SECONDS - (time.monotonic() - begun)))
    scene.proxy.heal()
    healed = time.monotonic()

    eventually(lambda: all(is_saved(run) for run in runs), 120, what="the scheduler saves what was not saved")
    figures.add(f"{how} for {SECONDS:g} s: saved after it is back", f"{time.monotonic() - healed:.1f} s", "<= 60 s")
    for run in runs:
        assert_store_has_the_workspace(world, run)
        assert world.container.session_workers.stop(run.session_id)["snapshotId"]
    eventually(lambda: client.get("/ready").json()["status"] == "ok", what="ready again")
    client.close()


def assert_told(world: World, client: httpx.Client, ids: list[str]) -> None:
    """The truth: the work succeeded, its files are not saved, the sandbox stays, and Paddock says which part is away."""
    eventually(lambda: wanting(client) == [503, "degraded", "objectStore"], what="/ready says which part is away")
    for run_id in ids:
        run = world.run(run_id)
        assert (run.status, run.attempt) == ("succeeded", 1)
        assert "workspace.sync_failed" in world.types(run_id)
        worker = worker_rows.get(run.session_id)
        assert worker.last_sync_status in ("failed", "pending")  # the scheduler tries again all the while
        assert worker.status == "running"
        with pytest.raises(AppError):
            world.container.session_workers.stop(run.session_id)
        assert world.container.sandboxes.exists(run.session_id)
        assert (world.settings.root / "sandboxes" / run.session_id / "workspace" / "b.txt").read_text() == "two\n"
    shown = client.get(f"/api/session-workers/{world.run(ids[0]).session_id}").json()
    assert shown["syncState"] in ("local_only", "syncing")


def wanting(client: httpx.Client) -> list[object]:
    ready = client.get("/ready")
    checks = ready.json()["checks"].items()
    return [ready.status_code, ready.json()["status"], *(name for name, check in checks if check["status"] != "ok")]


def is_saved(run: AgentRun) -> bool:
    return bool(worker_rows.get(run.session_id).last_sync_status == "succeeded")


def assert_store_has_the_workspace(world: World, run: AgentRun) -> None:
    row = Snapshot.select().where(Snapshot.session_id == run.session_id).order_by(Snapshot.id.desc()).get()
    manifest = world.container.snapshots.manifest(row)
    files = {entry.path: entry.sha256 for entry in manifest.tree("workspace") if entry.sha256}
    folder = world.settings.root / "sandboxes" / run.session_id / "workspace"
    for name in ("a.txt", "b.txt"):
        assert files[name] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for sha256 in manifest.hashes():
        with world.container.store.get(storage.blob_key(row.tenant_id, row.session_id, sha256)) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == sha256
