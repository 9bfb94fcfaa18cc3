"""Snapshots: what is saved is what is restored, only what changed travels, and what was damaged is refused."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import db
from app.adapters.minio_object_store import MinioObjectStore, S3Settings
from app.domain import storage
from app.domain.manifest import Manifest
from app.errors import Conflict, Invalid, LeaseLost, NotFound
from app.models import Snapshot
from app.ports import ObjectStore
from app.services import worker_rows
from app.services.snapshots import Order
from tests.support.folder_host import FolderHost, FolderSandboxes
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, rclone_server
from tests.support.workspace_house import House, tree_of, write

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FROZEN = Order("test", frozen=True)


# A connection to the S3 server is left to the collector when a blob is found damaged. Store and stream close theirs, and why
# one stays is not known yet: so this is let pass here, and nowhere else.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket.*family=2.*raddr=:ResourceWarning")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def house(request: pytest.FixtureRequest, database: peewee.Database, tmp_path: Path) -> House:
    """On both kinds of object store."""
    store: ObjectStore | None = None
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3")
        bucket = f"b-{uuid.uuid4().hex}"
        store = MinioObjectStore(S3Settings(server.endpoint, ACCESS_KEY, SECRET_KEY, bucket))
    return House(tmp_path, FolderSandboxes(tmp_path / "sandboxes"), store)


class Case:
    """A running sandbox and its row, saved by hand."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.session = house.session()
        self.host: FolderHost = house.start(self.session).executor  # type: ignore[assignment]

    @property
    def files(self) -> Path:
        return self.host.root("workspace")

    def save(self, order: Order = FROZEN) -> Any:
        return self.house.snapshots.save(self.host, self.house.row(self.session), order)

    def row(self, snapshot_id: str) -> Snapshot:
        return Snapshot.get_by_id(snapshot_id)

    def another_host(self) -> FolderHost:
        folder = Path(tempfile.mkdtemp(dir=self.house.var))
        for root in ("workspace", "agent"):
            (folder / root).mkdir()
        return FolderHost(folder, 1)


@pytest.fixture
def case(house: House) -> Case:
    return Case(house)


NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 100)
FILES = st.tuples(st.just("file"), st.binary(max_size=300), st.sampled_from([0o644, 0o755, 0o600, 0o444, 0o000]))
LINKS = st.tuples(st.just("symlink"), st.sampled_from(["../x", "/etc/passwd", "nowhere", "ä/ö", "."]))
TREES = st.recursive(
    st.one_of(FILES, LINKS),
    lambda inner: st.tuples(
        st.just("dir"), st.dictionaries(NAMES, inner, max_size=4), st.sampled_from([0o755, 0o700, 0o555])
    ),
    max_leaves=12,
)


def build(top: Path, tree: dict[str, Any]) -> None:
    for name, node in tree.items():
        path = top / name
        if node[0] == "file":
            path.write_bytes(node[1])
            path.chmod(node[2])
        elif node[0] == "symlink":
            path.symlink_to(node[1])
        else:
            path.mkdir()
            build(path, node[1])
            path.chmod(node[2])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(workspace=st.dictionaries(NAMES, TREES, max_size=5), agent=st.dictionaries(NAMES, TREES, max_size=2))
def test_a_restored_tree_is_the_saved_tree(house: House, workspace: dict[str, Any], agent: dict[str, Any]) -> None:
    case = Case(house)
    build(case.files, workspace)
    build(case.host.root("agent"), {name: node for name, node in agent.items() if not name.startswith(".")})
    saved = case.save()
    other = case.another_host()
    write(other.root("workspace"), {"was/here/before": "x"})
    case.house.snapshots.restore(other, case.row(saved.snapshot_id))
    for root in ("workspace", "agent"):
        assert tree_of(other.root(root)) == tree_of(case.host.root(root))


def test_only_changed_content_travels(case: Case) -> None:
    write(case.files, {f"src/{n}.txt": f"file {n}" * 50 for n in range(20)})
    first = case.save()
    write(case.files, {"src/7.txt": "changed", "new.txt": "new!"})
    (case.files / "src/8.txt").rename(case.files / "src/moved.txt")
    second = case.save()
    assert first.bytes_sent == sum(len(f"file {n}" * 50) for n in range(20))
    assert second.bytes_sent == len("changed") + len("new!")
    assert second.files_changed == 4  # 7 changed, new, 8 gone, moved
    assert case.row(second.snapshot_id).parent_id == first.snapshot_id


def test_the_agents_own_state_and_folders_are_saved_but_are_no_changed_files(case: Case) -> None:
    write(case.files, {"a.txt": "a"})
    first = case.save()
    write(case.host.root("agent"), {".claude/projects/p/talk.jsonl": "{}"})
    (case.files / "empty").mkdir()
    second = case.save()
    assert second.files_changed == 0
    assert case.row(second.snapshot_id).files_changed == 0
    assert second.snapshot_id != first.snapshot_id
    other = case.another_host()
    case.house.snapshots.restore(other, case.row(second.snapshot_id))
    assert (other.root("agent") / ".claude/projects/p/talk.jsonl").read_text() == "{}"


def test_a_file_that_did_not_change_is_not_read_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    write(case.files, {"a.txt": "a" * 1000})
    case.save()
    monkeypatch.setattr("tests.support.folder_host.time.time", lambda: case_time(case) + 10)
    write(case.files, {"b.txt": "b" * 10})
    before = case.host.reads
    case.save()  # the stamp of a.txt was taken within 2 s of its ctime: it proves nothing yet
    middle = case.host.reads
    case.save(Order("again", frozen=True))
    assert (middle - before, case.host.reads - middle) == (1010, 0)


def case_time(case: Case) -> float:
    return max(path.lstat().st_ctime for path in case.files.rglob("*"))


def test_a_save_without_a_change_makes_no_snapshot(case: Case) -> None:
    write(case.files, {"a.txt": "a"})
    first, second = case.save(), case.save()
    assert (second.snapshot_id, second.files_changed, second.bytes_sent) == (first.snapshot_id, 0, 0)
    assert Snapshot.select().count() == 1


def test_the_same_content_saved_while_things_ran_opens_no_gate(case: Case) -> None:
    write(case.files, {"a.txt": "a"})
    fuzzy, firm = case.save(Order("message.stop")), case.save()
    assert fuzzy.snapshot_id != firm.snapshot_id
    assert [row.fuzzy for row in case.house.snapshot_rows(case.session)] == [1, 0]
    assert firm.bytes_sent == 0


def test_during_a_run_agent_data_is_carried_over(case: Case) -> None:
    agent = case.host.root("agent")
    write(agent, {".claude/projects/x.jsonl": "said before"})
    case.save()
    write(agent, {".claude/projects/x.jsonl": "half a li"})
    write(case.files, {"out.txt": "done"})
    saved = case.save(Order("message.stop", roots=("workspace",)))
    other = case.another_host()
    case.house.snapshots.restore(other, case.row(saved.snapshot_id))
    assert tree_of(other.root("agent"))[".claude/projects/x.jsonl"][2] == b"said before"
    assert tree_of(other.root("workspace"))["out.txt"][2] == b"done"


def test_worthless_caches_of_the_agent_stay_behind_and_its_memory_does_not(case: Case) -> None:
    write(
        case.host.root("agent"),
        {".cache/big": "x" * 1000, ".npm/a": "y", ".claude/cache-notes.md": "keep", "m.md": "k"},
    )
    write(case.files, {".cache/mine": "a user's own file"})
    saved = case.save()
    assert {e.path for e in saved.manifest.tree("agent")} == {".claude", ".claude/cache-notes.md", "m.md"}
    assert ".cache/mine" in {e.path for e in saved.manifest.tree("workspace")}


def test_a_file_that_never_stands_still_is_kept_as_it_was_before(case: Case) -> None:
    write(case.files, {"log": "one", "calm": "c"})
    case.save()
    count = iter(range(1000))
    case.host.before_content = lambda: write(case.files, {"log": f"line {next(count)}"})
    write(case.files, {"log": "two"})
    saved = case.save(Order("message.stop"))
    kept = {entry.path: entry for entry in saved.manifest.tree("workspace")}
    assert kept["log"].unstable
    other = case.another_host()
    case.house.snapshots.restore(other, case.row(saved.snapshot_id))
    assert tree_of(other.root("workspace"))["log"][2] == b"one"
    with pytest.raises(Conflict, match="written to"):
        case.save()


def test_blobs_come_before_the_manifest_and_the_manifest_before_the_row(case: Case) -> None:
    write(case.files, {"a": "1", "b": "2"})
    keys: list[str] = []
    put = case.house.store.put

    def watched(key: str, data: Any, size: int) -> None:
        assert Snapshot.select().count() == 0
        put(key, data, size)
        keys.append(key)

    case.house.store.put = watched  # type: ignore[method-assign]
    case.save()
    below = storage.prefix(case.session.tenant_id, case.session.id)
    assert [key.removeprefix(below).split("/")[1] for key in keys] == ["blobs", "blobs", "snapshots"]


def test_a_sandbox_that_sends_other_bytes_than_it_scanned_is_not_believed(case: Case) -> None:
    write(case.files, {"a": "honest"})
    content = case.host.content

    def lying(manifest: Manifest, wanted: Any) -> Iterator[Any]:
        for sha256, _, size in content(manifest, wanted):
            yield sha256, io.BytesIO(b"forged"[:size]), size

    case.host.content = lying  # type: ignore[method-assign]
    with pytest.raises(Exception, match="other bytes"):
        case.save()
    assert Snapshot.select().count() == 0
    assert not list(case.house.store.list_keys(storage.blobs_prefix(case.session.tenant_id, case.session.id)))


def blob_of(case: Case, text: bytes) -> str:
    """Return the key of these bytes."""
    return storage.blob_key(case.session.tenant_id, case.session.id, hashlib.sha256(text).hexdigest())


def overwrite(case: Case, key: str, data: bytes) -> None:
    assert case.house.store.exists(key)
    case.house.store.put(key, io.BytesIO(data), len(data))


def test_a_restore_can_be_given_up_between_any_two_files(case: Case) -> None:
    write(case.files, {f"{number}.txt": f"text {number}" for number in range(5)})
    row = case.row(case.save().snapshot_id)
    other = case.another_host()
    asked: list[int] = []

    def guard() -> None:
        asked.append(1)
        if len(asked) == 4:
            raise LeaseLost("given up")

    with pytest.raises(LeaseLost):
        case.house.snapshots.restore(other, row, guard)
    assert len(asked) == 4
    assert tree_of(other.root("workspace")) == {}
    case.house.snapshots.restore(other, row)
    assert tree_of(other.root("workspace")) == tree_of(case.files)


@pytest.mark.parametrize("damage", [b"Xecret", b"short", b"longer than before", None])
def test_a_corrupted_blob_is_found_out(case: Case, damage: bytes | None) -> None:
    write(case.files, {"a.txt": b"secret"})
    saved = case.save()
    key = blob_of(case, b"secret")
    if damage is None:
        case.house.store.delete(key)
    else:
        overwrite(case, key, damage)
    row = case.row(saved.snapshot_id)
    other = case.another_host()
    with pytest.raises(Conflict, match="damaged"):
        case.house.snapshots.restore(other, row)
    assert tree_of(other.root("workspace")) == {}
    with pytest.raises(Conflict, match="damaged"), case.house.snapshots.open_file(row, "a.txt")[0] as stream:
        stream.read()


def test_a_lost_blob_is_saved_again_by_the_next_save_that_opens_a_gate(case: Case) -> None:
    write(case.files, {"a.txt": b"bytes"})
    saved = case.save()
    case.house.store.delete(blob_of(case, b"bytes"))
    assert case.house.snapshots.missing_objects(case.row(saved.snapshot_id))
    case.save()
    assert not case.house.snapshots.missing_objects(case.row(saved.snapshot_id))


BAD_ENTRIES: list[dict[str, Any]] = [
    {"path": "../x", "type": "file"},
    {"path": "/etc/cron.d/x", "type": "file"},
    {"path": "a/../../x", "type": "file"},
    {"path": "a//b", "type": "file"},
    {"path": "", "type": "file"},
    {"path": "a\0b", "type": "file"},
    {"path": "link/x", "type": "file"},
    {"path": "plain/x", "type": "file"},
    {"path": "twice", "type": "file"},
    {"path": "x", "type": "fifo"},
    {"path": "x", "type": "file", "mode": 0o100644},
    {"path": "x", "type": "file", "sha256": "../../escape"},
    {"path": "x", "type": "file", "sha256": None},
]


@pytest.mark.parametrize("bad", BAD_ENTRIES, ids=lambda bad: f"{bad['path']!r}-{bad.get('type')}")
def test_a_tampered_manifest_is_refused(case: Case, bad: dict[str, Any]) -> None:
    write(case.files, {"plain": "p", "twice": "t"})
    (case.files / "link").symlink_to("/tmp")
    saved = case.save()
    row = case.row(saved.snapshot_id)
    with case.house.store.get(row.object_key) as stream:
        manifest = json.loads(stream.read())
    good = next(entry for entry in manifest["trees"]["workspace"] if entry["path"] == "plain")
    manifest["trees"]["workspace"].append({**good, **bad})
    overwrite(case, row.object_key, json.dumps(manifest).encode())
    other = case.another_host()
    with pytest.raises(Invalid, match="cannot be restored safely"):
        case.house.snapshots.restore(other, row)
    assert "restore" not in other.calls


def test_a_manifest_that_is_no_manifest_is_damaged(case: Case) -> None:
    saved = case.save()
    row = case.row(saved.snapshot_id)
    overwrite(case, row.object_key, b"{")
    with pytest.raises(Conflict, match="damaged"):
        case.house.snapshots.manifest(row)


def test_a_save_of_another_generation_writes_no_row(case: Case) -> None:
    write(case.files, {"a": "1"})
    stale = case.house.row(case.session)
    with db.transaction():
        type(stale).update(generation=stale.generation + 1).execute()
    with pytest.raises(LeaseLost):
        case.house.snapshots.save(case.host, stale, FROZEN)
    assert Snapshot.select().count() == 0


def test_two_saves_from_one_parent_do_not_lose_each_other(case: Case) -> None:
    stale = case.house.row(case.session)
    write(case.files, {"a": "1"})
    first = case.save()
    write(case.files, {"a": "2"})
    with pytest.raises(LeaseLost):
        case.house.snapshots.save(case.host, stale, FROZEN)
    assert worker_rows.get(case.session.id).snapshot_id == first.snapshot_id


def test_a_guard_that_fails_stops_a_save_before_its_next_effect(case: Case) -> None:
    write(case.files, {"a": "1", "b": "2"})
    calls = []

    def guard() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise LeaseLost("over")

    with pytest.raises(LeaseLost):
        case.save(Order("x", frozen=True, guard=guard))
    assert len(list(case.house.store.list_keys(""))) == 1
    assert Snapshot.select().count() == 0


def test_a_file_is_read_out_of_a_snapshot_through_its_links(case: Case) -> None:
    write(case.files, {"dir/real.txt": "text"})
    (case.files / "dir/near").symlink_to("real.txt")
    (case.files / "far").symlink_to("/workspace/dir")
    (case.files / "out").symlink_to("../../etc/passwd")
    (case.files / "abs").symlink_to("/etc/passwd")
    (case.files / "loop").symlink_to("loop")
    row = case.row(case.save().snapshot_id)
    snapshots = case.house.snapshots
    for path in ("dir/real.txt", "dir/near", "far/near", "/workspace/far/real.txt", "./dir//near"):
        with snapshots.open_file(row, path)[0] as stream:
            assert stream.read() == b"text"
    for path in ("out", "abs", "../x", "/etc/passwd", "dir/../../x"):
        with pytest.raises(Invalid, match="out of the workspace"):
            snapshots.open_file(row, path)
    for path in ("nothing", "loop", "dir/real.txt/below"):
        with pytest.raises(NotFound):
            snapshots.open_file(row, path)
    with pytest.raises(Invalid, match="folder"):
        snapshots.open_file(row, "dir")


def test_the_archive_of_a_snapshot_holds_its_files_and_no_way_out(case: Case, tmp_path: Path) -> None:
    write(case.files, {"a/ä b.txt": "x" * 1000, "a/empty": "", "run.sh": "#!"})
    (case.files / "run.sh").chmod(0o4755)
    (case.files / "inside").symlink_to("a/empty")
    (case.files / "a/up").symlink_to("../run.sh")
    (case.files / "a/out").symlink_to("../../x")
    (case.files / "abs").symlink_to("/etc/passwd")
    row = case.row(case.save().snapshot_id)
    with tarfile.open(fileobj=io.BytesIO(b"".join(case.house.snapshots.tar(row)))) as archive:
        members = {member.name: member for member in archive.getmembers()}
        content = archive.extractfile("a/ä b.txt")
        assert content is not None
        assert content.read() == b"x" * 1000
    assert set(members) == {"a", "a/ä b.txt", "a/empty", "run.sh", "inside", "a/up"}
    assert members["run.sh"].mode == 0o755
