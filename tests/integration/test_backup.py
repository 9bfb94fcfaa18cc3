"""Backup and restore of a real back end: what comes back, what is refused, and what is said of objects that were lost."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.adapters.folder_object_store import FolderObjectStore
from app.domain import storage
from app.errors import Conflict, Invalid, Unavailable
from app.models import AgentRun, Bundle, HumanLoopRequest, RunEvent, SessionWorker, Snapshot, Tenant
from app.ports import EVERY_GENERATION
from app.services import identity
from app.services.backup import BackupResult, back_up
from app.services.backup_archive import reading
from app.services.log_check import check
from app.services.restore import RestoreResult, Target, restore
from tests.support.redis import redis_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, rclone_server
from tests.support.world import World, open_world, yes

SETTINGS: dict[str, Any] = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3}
ALL = {"approval": "all"}
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, **SETTINGS) as world:
        yield world


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "paddock.backup"


class Elsewhere:
    """A place where nothing was ever installed, with a Redis of its own."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.var, self.database_url, self.redis_url = folder, database_url, redis_url
        self.target = Target(database_url, FolderObjectStore(folder / "objects"), folder / "sandboxes")

    def restore(self, file: Path) -> RestoreResult:
        return restore(file, self.target)

    def objects(self) -> dict[str, bytes]:
        return {key: _bytes(self.target.store, key) for key in self.target.store.list_keys("")}

    @contextmanager
    def opened(self) -> Iterator[World]:
        with open_world(self.var, self.database_url, self.redis_url, **SETTINGS) as world:
            yield world


@pytest.fixture
def elsewhere(
    tmp_path: Path, database_url: str, request: pytest.FixtureRequest, new_database_url: Callable[[str], str]
) -> Iterator[Elsewhere]:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'elsewhere' / 'paddock.sqlite3'}"
        if database_url.startswith("postgres"):
            server = request.getfixturevalue("postgres")
            name = f"t_elsewhere_{tmp_path.name[-8:]}".lower()
            url = server.create(name)
            stack.callback(server.drop, name)
        yield Elsewhere(tmp_path / "elsewhere", url, stack.enter_context(redis_server()).url)


def _bytes(store: Any, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


def saved(world: World, file: Path) -> BackupResult:
    return back_up(world.container.database, world.container.store, file)


def run(world: World, prompt: str, session_id: str | None = None) -> AgentRun:
    world.create(prompt, session_id, options=ALL)
    return world.drive()


@pytest.mark.promise("R19")
def test_a_session_comes_back_elsewhere_with_its_log_its_files_and_its_memory(
    world: World, file: Path, elsewhere: Elsewhere
) -> None:
    first = run(world, "/remember the number is 41\n/write keep.txt kept\n/run head -c 50000 /dev/zero | tr '\\0' x")
    events = [event.data for event in world.events(first.id)]
    objects = {key: _bytes(world.container.store, key) for key in world.container.store.list_keys("")}
    result = saved(world, file)
    assert result.is_whole
    world.container.sandboxes.stop(first.session_id, EVERY_GENERATION)

    restored = elsewhere.restore(file)

    assert (restored.sessions, restored.open_runs, restored.objects) == (1, 0, result.objects)
    assert elsewhere.objects() == {key: data for key, data in objects.items() if key in elsewhere.objects()}
    assert set(objects) == set(elsewhere.objects())  # nothing here is in the store that no row names
    with elsewhere.opened() as there:
        assert [event.data for event in there.events(first.id)] == events
        assert check(first.id, there.container.stream) == []
        worker = SessionWorker.get_by_id(first.session_id)
        assert (worker.status, worker.last_sync_status, worker.receipt) == ("deleted", "succeeded", None)
        second = run(there, "/recall\n/read keep.txt", first.session_id)
        assert (second.status, second.attempt) == ("succeeded", 1)
        assert "the number is 41" in (second.message or "")
        outputs = [event.data.get("output") for event in there.events(second.id) if event.type == "tool.result"]
        assert any("kept" in str(output) for output in outputs)


def test_tokens_hold_after_a_restore(world: World, file: Path, elsewhere: Elsewhere) -> None:
    saved(world, file)
    elsewhere.restore(file)
    with elsewhere.opened():
        assert identity.by_token("pdk_world").user_id == world.user.id
        assert Tenant.select().count() == 1


@pytest.mark.promise("R19")
def test_a_run_at_work_begins_another_attempt_and_one_that_waits_waits_on(
    world: World, file: Path, elsewhere: Elsewhere
) -> None:
    waiting = world.create("/write a.txt asked")
    assert world.drive().let_go_at is not None
    queued = world.create("hello", waiting.session_id)
    working = world.drop("/slow 60 50")
    assert working.status == "running"
    saved(world, file)

    assert elsewhere.restore(file).open_runs == 3

    with elsewhere.opened() as there:
        assert there.run(waiting.id).sandbox_stopped_at is not None
        assert HumanLoopRequest.get(HumanLoopRequest.run_id == waiting.id).status == "open"
        there.drive()
        there.wait_for(lambda: there.run(working.id).retry_at is None or there.run(working.id).retry_at <= db.now())
        there.drive()
        assert (there.run(working.id).status, there.run(working.id).attempt) == ("succeeded", 2)
        assert there.claim() is None
        with there.answering(yes):
            there.wait_for(lambda: (claim := there.claim()) and (there.driver(claim).drive() or True))
            there.wait_for(
                lambda: there.run(waiting.id).finished_at or ((claim := there.claim()) and there.driver(claim).drive())
            )
        assert there.run(waiting.id).status == "succeeded"
        there.wait_for(lambda: there.run(queued.id).finished_at or there.drive())
        for each in (waiting, queued, working):
            assert check(each.id, there.container.stream) == []


def test_an_older_schema_is_restored_and_brought_up_to_date(
    world: World, file: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(world, "hello")
    saved(world, file)
    folder = tmp_path / "sql"
    folder.mkdir()
    for path in db.SQL_FOLDER.glob("*.sql"):
        (folder / path.name).write_text(path.read_text())
    (folder / "9999_later.sql").write_text("ALTER TABLE users ADD COLUMN shoe_size TEXT;")
    monkeypatch.setattr(db, "SQL_FOLDER", folder)

    elsewhere.restore(file)

    with elsewhere.opened() as there:
        rows = there.container.database.execute_sql("SELECT name, shoe_size FROM users").fetchall()
        assert [tuple(row) for row in rows] == [("owner", None)]


def test_a_used_installation_is_refused_and_stays_as_it_is(world: World, file: Path, elsewhere: Elsewhere) -> None:
    run(world, "hello")
    saved(world, file)
    target = Target(world.settings.database, world.container.store, world.settings.root / "sandboxes")
    with pytest.raises(Conflict, match="has a tenant"):
        restore(file, target)
    db.bind(world.container.database)
    assert AgentRun.select().count() == 1

    elsewhere.target.store.put("someone/elses", io.BytesIO(b"x"), 1)
    with pytest.raises(Conflict, match="someone/elses"):
        elsewhere.restore(file)
    elsewhere.target.store.delete("someone/elses")
    (elsewhere.var / "sandboxes" / "ses_x").mkdir(parents=True)
    with pytest.raises(Conflict, match="sandboxes"):
        elsewhere.restore(file)
    (elsewhere.var / "sandboxes" / "ses_x").rmdir()
    elsewhere.restore(file)
    with pytest.raises(Conflict, match="has a tenant"):
        elsewhere.restore(file)


@pytest.mark.promise("R19")
def test_a_restore_that_was_cut_off_may_be_repeated(
    world: World, file: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(world, "/write a.txt x")
    saved(world, file)

    def fail() -> int:
        raise Unavailable("database_unavailable", "gone in the middle")

    with monkeypatch.context() as patch:
        patch.setattr("app.services.runs.forget_holders", fail)
        with pytest.raises(Unavailable):
            elsewhere.restore(file)
    assert elsewhere.objects()
    elsewhere.restore(file)
    with elsewhere.opened() as there:
        assert there.run(first.id).status == "succeeded"


@sqlite_only
def test_a_backup_of_another_kind_or_a_newer_version_is_refused(
    world: World, file: Path, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(world, file)
    with pytest.raises(Invalid, match="is of sqlite"):
        restore(file, Target("postgres://nowhere/x", elsewhere.target.store, elsewhere.var))
    monkeypatch.setattr(db, "migration_names", lambda sqlite: ["0001_main_job"])
    with pytest.raises(Invalid, match="newer Paddock"):
        elsewhere.restore(file)


@sqlite_only
@pytest.mark.parametrize("where", [0.05, 0.5, 0.99])
def test_a_file_that_was_changed_or_cut_off_restores_nothing(
    world: World, file: Path, elsewhere: Elsewhere, where: float
) -> None:
    run(world, "/write a.txt x")
    saved(world, file)
    whole = file.read_bytes()
    at = int(len(whole.rstrip(b"\0")) * where)  # the padding of a tar is no part of it
    changed = whole[:at] + bytes(255 - byte for byte in whole[at : at + 1024]) + whole[at + 1024 :]
    for data in (changed, whole[:at], b"", b"not a backup"):
        file.write_bytes(data)
        with pytest.raises(Invalid):
            elsewhere.restore(file)
    assert elsewhere.objects() == {}
    assert not (elsewhere.var / "paddock.sqlite3").exists()


@sqlite_only
def test_an_archive_that_names_a_way_out_restores_nothing(world: World, file: Path, elsewhere: Elsewhere) -> None:
    saved(world, file)
    with tarfile.open(file) as tar:
        members = {entry.name: tar.extractfile(entry).read() for entry in tar.getmembers()}  # type: ignore[union-attr]
    for name in ("objects/../../outside", "objects//etc/passwd"):
        manifest = json.loads(members["manifest.json"])
        manifest["members"][name] = {"size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
        data = json.dumps(manifest).encode()
        forged = {
            **members,
            name: b"x",
            "manifest.json": data,
            "manifest.sha256": hashlib.sha256(data).hexdigest().encode(),
        }
        with tarfile.open(file, "w:") as tar:
            for member, content in forged.items():
                entry = tarfile.TarInfo(member)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        with pytest.raises(Invalid):
            elsewhere.restore(file)
    assert elsewhere.objects() == {}


@sqlite_only
def test_objects_that_are_gone_or_changed_are_named_and_the_rest_is_kept(
    world: World, file: Path, elsewhere: Elsewhere
) -> None:
    first = run(world, "/write lost.txt lost\n/write changed.txt changed\n/write kept.txt kept")
    key = {text: storage.blob_key(first.tenant_id, first.session_id, _sha(text)) for text in ("lost\n", "changed\n")}
    world.container.store.delete(key["lost\n"])
    world.container.store.put(key["changed\n"], io.BytesIO(b"CHANGED\n"), 8)
    result = saved(world, file)
    assert (result.missing, result.damaged) == ((key["lost\n"],), (key["changed\n"],))
    assert not result.is_whole
    restored = elsewhere.restore(file)
    assert (restored.missing, restored.damaged) == (result.missing, result.damaged)
    assert b"kept\n" in elsewhere.objects().values()


@sqlite_only
def test_a_damaged_manifest_stops_no_backup(world: World, file: Path) -> None:
    first = run(world, "/write a.txt x")
    row = Snapshot.select().where(Snapshot.session_id == first.session_id).order_by(Snapshot.id.desc()).get()
    for damage in (b"{", b'{"trees": {"workspace": [{"path": "../x"}]}, "scannedAt": 0, "fuzzy": false}'):
        world.container.store.put(row.object_key, io.BytesIO(damage), len(damage))
        assert saved(world, file).damaged == (row.object_key,)


@sqlite_only
def test_a_backup_that_fails_leaves_no_file(world: World, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(world, "/write a.txt x")

    def fail(*_: object) -> None:
        raise Unavailable("store_unavailable", "away")

    monkeypatch.setattr(world.container.store, "get", fail)
    with pytest.raises(Unavailable):
        saved(world, file)
    assert [path.name for path in file.parent.iterdir() if "backup" in path.name] == []


@sqlite_only
def test_a_backup_is_for_this_user_alone_and_holds_its_manifest_last(world: World, file: Path) -> None:
    run(world, "hello")
    saved(world, file)
    assert file.stat().st_mode & 0o777 == 0o600
    with reading(file) as archive:
        assert archive.manifest.engine == "sqlite"
        assert set(archive.manifest.schema) == set(db.migration_names(sqlite=True))
    with tarfile.open(file) as tar:
        assert tar.getnames()[-2:] == ["manifest.json", "manifest.sha256"]


@sqlite_only
def test_it_goes_from_a_bucket_into_a_folder(
    tmp_path: Path, database_url: str, redis_url: str, file: Path, elsewhere: Elsewhere
) -> None:
    with (
        rclone_server(tmp_path / "rclone") as s3,
        open_world(tmp_path / "var", database_url, redis_url, **SETTINGS, **s3.settings) as world,
    ):
        first = run(world, "/write keep.txt kept")
        assert saved(world, file).is_whole
        world.container.sandboxes.stop(first.session_id, EVERY_GENERATION)
    assert ACCESS_KEY.encode() not in file.read_bytes()
    assert SECRET_KEY.encode() not in file.read_bytes()
    elsewhere.restore(file)
    with elsewhere.opened() as there:
        second = run(there, "/read keep.txt", first.session_id)
        assert second.status == "succeeded"


def test_every_kind_of_object_that_the_store_knows_is_in_a_backup(world: World, file: Path, database_url: str) -> None:
    kinds = {name for name in dir(storage) if name.endswith("_key") and name != "require_key"}
    assert kinds == {"blob_key", "bundle_key", "diff_key", "manifest_key"}, "teach app.services.backup the new kind"
    session = run(world, "/write a.txt x\n/run head -c 50000 /dev/zero | tr '\\0' x")
    world.container.session_workers.stop(session.session_id)  # keeps a diff
    bundle = storage.bundle_key(session.tenant_id, "bdl_1")
    world.container.store.put(bundle, io.BytesIO(b"bundle"), 6)
    who = {"tenant_id": session.tenant_id, "user_id": session.user_id}
    Bundle.create(id="bdl_1", **who, object_key=bundle, size=6, sha256=_sha("bundle"), created_at=0)
    blobs = [row.data["blobId"] for row in RunEvent.select() if row.data.get("blobId")]
    assert saved(world, file).is_whole
    with reading(file) as archive:
        keys = set(archive.manifest.keys)
    row = Snapshot.select().order_by(Snapshot.id.desc()).get()
    assert keys == set(world.container.store.list_keys(""))
    assert {bundle, row.object_key, storage.diff_key(row.tenant_id, row.session_id, row.id)} <= keys
    assert blobs
    assert {storage.blob_key(row.tenant_id, row.session_id, blob) for blob in blobs} <= keys


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
