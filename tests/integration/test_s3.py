"""A whole back end whose objects lie in an S3: runs, files, memory, outages; and what a sandbox may know of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import config
from app.adapters.minio_object_store import MinioObjectStore
from app.container import build
from app.domain import storage
from app.errors import Unavailable
from app.models import AgentRun, Snapshot
from app.services import worker_rows
from executor import processes
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, free_port, rclone_server
from tests.support.world import World, open_world

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with rclone_server(tmp_path / "rclone") as server:
        yield server


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, s3: S3Server) -> Iterator[World]:
    settings = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, **s3.settings}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


def run(world: World, prompt: str, session_id: str | None = None) -> AgentRun:
    world.create(prompt, session_id, options={"approval": "all"})
    return world.drive()


def test_files_and_memory_come_back_from_the_bucket_alone(world: World) -> None:
    first = run(world, "/remember the number is 41\n/write keep.txt kept")
    assert isinstance(world.container.store, MinioObjectStore)
    assert not (world.settings.root / "objects").exists()
    workers = world.container.session_workers
    workers.stop(first.session_id)
    workers.remove(first.session_id)
    assert not (world.settings.root / "sandboxes" / first.session_id).exists()

    second = run(world, "/recall\n/read keep.txt", first.session_id)

    assert second.status == "succeeded"
    assert "the number is 41" in (second.message or "")
    outputs = [event.data.get("output") for event in world.events(second.id) if event.type == "tool.result"]
    assert any("kept" in str(output) for output in outputs)


def test_what_lies_in_the_bucket_is_what_the_manifest_says(world: World) -> None:
    ended = run(world, "/write a.txt first\n/write b.txt second")
    row = Snapshot.select().where(Snapshot.session_id == ended.session_id).order_by(Snapshot.id.desc()).get()
    manifest = world.container.snapshots.manifest(row)
    assert {entry.path for entry in manifest.tree("workspace")} >= {"a.txt", "b.txt"}
    for sha256 in manifest.hashes():
        with world.container.store.get(storage.blob_key(row.tenant_id, row.session_id, sha256)) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == sha256


def test_a_run_ends_with_the_truth_while_the_store_is_down_and_is_saved_when_it_is_back(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    port = free_port()
    with open_world(tmp_path / "var", database_url, redis_url, **S3Server(port).settings) as world:
        ended = run(world, "/write keep.txt kept")
        assert ended.status == "succeeded"
        assert "workspace.sync_failed" in world.types(ended.id)
        workers = world.container.session_workers
        with pytest.raises(Unavailable):
            workers.stop(ended.session_id)
        worker = worker_rows.get(ended.session_id)
        assert (worker.status, worker.last_sync_status) == ("running", "failed")
        with rclone_server(tmp_path / "rclone", port):
            receipt = workers.stop(ended.session_id)
            manifest = world.container.snapshots.manifest(Snapshot.get_by_id(receipt["snapshotId"]))
            kept = next(entry for entry in manifest.tree("workspace") if entry.path == "keep.txt")
            assert kept.sha256 == hashlib.sha256(b"kept\n").hexdigest()


def test_the_keys_of_the_store_never_reach_a_sandbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"S3_ACCESS_KEY": ACCESS_KEY, "S3_SECRET_KEY": SECRET_KEY}.items():
        monkeypatch.setenv(name, value)  # as workers have them
    ended = run(world, "/run env; cat /proc/self/environ /proc/$PPID/environ /proc/1/environ; true\n/write a.txt x")
    assert ended.status == "succeeded"
    heard = "".join(str(event.data) for event in world.events(ended.id))
    folder = world.settings.root / "sandboxes" / ended.session_id
    executor = world.container.sandboxes._read(ended.session_id)
    told = [_bytes(f"/proc/{pid}/{part}") for pid in _family(executor.pid) for part in ("environ", "cmdline")]
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]

    assert len(told) >= 2
    assert len(kept) > 3
    for secret in (ACCESS_KEY, SECRET_KEY):
        assert secret not in heard
        assert not any(secret.encode() in data for data in (*told, *kept))


def test_the_settings_choose_the_store(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET_KEY}\n")
    for name, value in {**s3.environment, "S3_SECRET_KEY": "", "S3_SECRET_KEY_FILE": str(secret)}.items():
        monkeypatch.setenv(name, value)
    settings = config.load(_env_file=None, var=tmp_path / "var", database_url=database_url)
    container = build(settings)

    assert settings.s3_secret_key == SECRET_KEY
    assert container.store.exists("a/b") is False


def _family(pid: int) -> set[int]:
    return {pid, *processes.descendants(processes.table(), [pid])}


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
