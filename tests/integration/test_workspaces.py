"""Reading the workspace of a session: the same answers at work and at rest, and never a way out or a sandbox started."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, Invalid, NotFound
from app.models import ChatSession
from app.ports import EVERY_GENERATION
from app.services import workspaces
from tests.support.folder_host import FolderSandboxes
from tests.support.workspace_house import House, bound, bundle_of, sandboxes_of, write


@pytest.fixture(params=["folder", "local"])
def house(request: pytest.FixtureRequest, new_database_url: Callable[[str], str], tmp_path: Path) -> Iterator[House]:
    with bound(new_database_url("sqlite")), sandboxes_of(request.param, tmp_path) as sandboxes:
        yield House(tmp_path, sandboxes)


BIG = bytes(range(256)) * 10_000


@pytest.fixture(params=["live", "snapshot"])
def session(request: pytest.FixtureRequest, house: House) -> ChatSession:
    """A session with files, whose sandbox runs or was removed."""
    made = house.session()
    house.start(made)
    top = house.folder(made)
    write(
        top,
        {"README.md": "hello\n", "src/main.py": "print(1)\n", "src/twin.py": "print(1)\n", "big.bin": BIG, "ä/ü": "u"},
    )
    (top / "empty").mkdir()
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "near").symlink_to("src/main.py")
    (top / "src/out").symlink_to("../../../../etc/passwd")
    (top / "abs").symlink_to("/etc/passwd")
    (top / "loop").symlink_to("loop")
    if request.param == "snapshot":
        house.workers.stop(made.id)
        house.workers.remove(made.id)
    made.source = request.param
    return made


def test_the_tree_is_told_level_by_level(house: House, session: Any) -> None:
    top = house.workspaces.tree(session.id)
    assert [(e["name"], e["type"]) for e in sorted(top["entries"], key=lambda e: e["name"])] == [
        ("README.md", "file"),
        ("abs", "symlink"),
        ("big.bin", "file"),
        ("empty", "dir"),
        ("loop", "symlink"),
        ("near", "symlink"),
        ("run.sh", "file"),
        ("src", "dir"),
        ("ä", "dir"),
    ]
    assert top["source"] == session.source
    by_name = {entry["name"]: entry for entry in top["entries"]}
    assert (by_name["big.bin"]["size"], by_name["run.sh"]["mode"]) == (len(BIG), 0o755)
    assert by_name["near"]["target"] == "src/main.py"
    below = house.workspaces.tree(session.id, "/workspace/src/")
    assert sorted(entry["path"] for entry in below["entries"]) == ["src/main.py", "src/out", "src/twin.py"]
    assert house.workspaces.tree(session.id, "empty")["entries"] == []
    with pytest.raises(NotFound):
        house.workspaces.tree(session.id, "nothing")


def test_a_file_is_read_in_parts(house: House, session: Any) -> None:
    whole = house.workspaces.file(session.id, "README.md")
    assert (whole.data, whole.size, whole.source) == (b"hello\n", 6, session.source)
    part = house.workspaces.file(session.id, "big.bin", offset=1000, limit=500)
    assert (part.data, part.offset, part.size) == (BIG[1000:1500], 1000, len(BIG))
    assert house.workspaces.file(session.id, "big.bin", offset=len(BIG) + 5).data == b""
    assert len(house.workspaces.file(session.id, "big.bin", limit=10**9).data) == workspaces.LARGEST_READ
    assert house.workspaces.file(session.id, "near").data == b"print(1)\n"
    assert house.workspaces.file(session.id, "ä/ü").data == b"u"


OUTSIDE = [
    "../x",
    "/etc/passwd",
    "src/../../x",
    "src/out",
    "abs",
    "/workspace/../etc/passwd",
    "..",
    "/proc/self/root/etc",
]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out(house: House, session: Any, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        house.workspaces.file(session.id, path)
    assert refused.value.code == "path_outside"
    if path not in ("src/out", "abs"):
        for read in (house.workspaces.tree, house.workspaces.download):
            with pytest.raises(Invalid) as refused:
                read(session.id, path)
            assert refused.value.code == "path_outside"


def test_what_is_not_there_is_not_found(house: House, session: Any) -> None:
    for path in ("nothing", "src/nothing", "README.md/below"):
        with pytest.raises(NotFound):
            house.workspaces.file(session.id, path)
        with pytest.raises(NotFound):
            house.workspaces.download(session.id, path)
    with pytest.raises(Invalid):
        house.workspaces.file(session.id, "a\0b")
    for folder in ("src", ""):
        with pytest.raises(Invalid) as refused:
            house.workspaces.file(session.id, folder)
        assert refused.value.code == "not_a_file"


def test_a_file_is_downloaded_as_it_is(house: House, session: Any) -> None:
    download = house.workspaces.download(session.id, "big.bin")
    assert (download.filename, download.size) == ("big.bin", len(BIG))
    assert b"".join(download.chunks) == BIG


def members(download: workspaces.Download) -> dict[str, bytes | None]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(download.chunks))) as archive:
        read = {}
        for member in archive.getmembers():
            content = archive.extractfile(member) if member.isreg() else None
            read[member.name] = content.read() if content else None
        return read


def test_a_folder_is_downloaded_as_an_archive_without_ways_out(house: House, session: Any) -> None:
    download = house.workspaces.download(session.id)
    assert (download.filename, download.media_type) == (f"{session.id}.tar", "application/x-tar")
    assert members(download) == {
        "README.md": b"hello\n",
        "big.bin": BIG,
        "empty": None,
        "near": None,
        "run.sh": b"#!/bin/sh\n",
        "src": None,
        "src/main.py": b"print(1)\n",
        "src/twin.py": b"print(1)\n",
        "ä": None,
        "ä/ü": b"u",
        "loop": None,
    }
    assert set(members(house.workspaces.download(session.id, "src"))) == {"src", "src/main.py", "src/twin.py"}


def test_reading_starts_no_sandbox(house: House) -> None:
    session = house.session()
    assert house.workspaces.tree(session.id) == {
        "path": "",
        "entries": [],
        "source": "none",
        "snapshotId": None,
        "savedAt": None,
    }
    assert members(house.workspaces.download(session.id)) == {}
    assert house.workspaces.diff(session.id)["files"] == []
    with pytest.raises(NotFound):
        house.workspaces.file(session.id, "x")
    assert not house.folder(session).parent.exists()
    assert house.sandboxes.list_running() == []


def test_writing_needs_a_sandbox_that_runs(house: House) -> None:
    session = house.session()
    with pytest.raises(Conflict) as refused:
        house.workspaces.require_active(session.id)
    assert refused.value.code == "worker_not_active"
    house.start(session)
    house.workspaces.require_active(session.id).write_file("a.txt", b"a")
    assert house.workspaces.file(session.id, "a.txt").data == b"a"
    house.workers.stop(session.id)
    with pytest.raises(Conflict):
        house.workspaces.require_active(session.id)


def test_a_sandbox_that_died_is_read_from_its_snapshot(house: House) -> None:
    session = house.session()
    house.start(session)
    write(house.folder(session), {"a.txt": "saved"})
    house.workers.sync(session.id, "message.stop")
    house.sandboxes.stop(session.id, EVERY_GENERATION)
    part = house.workspaces.file(session.id, "a.txt")
    assert (part.data, part.source) == (b"saved", "snapshot")


def test_the_diff_at_rest_is_the_diff_at_work(house: House, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    session = house.session(
        bundle_id=bundle_of(house, repository, {"keep.txt": "k\n", "old.txt": "1\n2\n3\n", "gone.txt": "g\n"})
    )
    house.start(session)
    top = house.folder(session)
    write(top, {"old.txt": "1\ntwo\n3\nfour", "new/n.txt": "n\n", "bin": b"\0\1"})
    (top / "gone.txt").unlink()
    (top / "keep.txt").chmod(0o755)
    live = None if isinstance(house.sandboxes, FolderSandboxes) else house.workspaces.diff(session.id)
    house.workers.stop(session.id)
    rest = house.workspaces.diff(session.id)
    assert rest["files"] == [
        {"path": "bin", "status": "added", "additions": None, "deletions": None},
        {"path": "gone.txt", "status": "deleted", "additions": 0, "deletions": 1},
        {"path": "keep.txt", "status": "modified", "additions": 0, "deletions": 0},
        {"path": "new/n.txt", "status": "added", "additions": 1, "deletions": 0},
        {"path": "old.txt", "status": "modified", "additions": 2, "deletions": 1},
    ]
    assert (rest["source"], rest["truncated"]) == ("snapshot", False)
    assert rest["baseline"] == house.row(session).baseline
    if live is not None:
        assert (live["files"], live["baseline"], live["source"]) == (rest["files"], rest["baseline"], "live")
    text_only = rest["patch"].replace("Binary files /dev/null and b/bin differ\n", "")
    applied = tmp_path / "applied"
    subprocess.run(["git", "clone", "-q", str(repository), str(applied)], check=True)
    (tmp_path / "patch").write_text(text_only)
    subprocess.run(["git", "-C", str(applied), "apply", "--exclude=bin", str(tmp_path / "patch")], check=True)
    assert (applied / "old.txt").read_text() == "1\ntwo\n3\nfour"
    assert (applied / "new/n.txt").read_text() == "n\n"
    assert not (applied / "gone.txt").exists()
    assert (applied / "keep.txt").stat().st_mode & 0o111


def test_what_the_repository_ignores_is_no_change_even_at_rest(tmp_path: Path, house: House) -> None:
    session = house.session(bundle_id=bundle_of(house, tmp_path / "repository", {".gitignore": "node_modules/\n"}))
    house.start(session)
    write(house.folder(session), {"node_modules/x/index.js": "1", "mine.js": "2\n"})
    house.workers.stop(session.id)
    house.workers.remove(session.id)
    paths = {file["path"] for file in house.workspaces.diff(session.id)["files"]}
    if isinstance(house.sandboxes, FolderSandboxes):  # nobody to ask: the snapshots tell everything
        assert paths == {"node_modules/x/index.js", "mine.js"}
    else:
        assert paths == {"mine.js"}


def test_a_session_without_a_repository_is_compared_with_nothing(house: House) -> None:
    session = house.session()
    house.start(session)
    write(house.folder(session), {"a.txt": "1\n"})
    house.workers.stop(session.id)
    diff = house.workspaces.diff(session.id)
    assert (diff["baseline"], diff["files"]) == (
        None,
        [{"path": "a.txt", "status": "added", "additions": 1, "deletions": 0}],
    )


def test_a_diff_against_a_snapshot_names_it(house: House) -> None:
    session, other = house.session(), house.session()
    house.start(session)
    write(house.folder(session), {"a.txt": "1\n"})
    first = house.workers.sync(session.id, "message.stop").snapshot_id
    write(house.folder(session), {"a.txt": "2\n"})
    house.workers.sync(session.id, "message.stop")
    diff = house.workspaces.diff(session.id, first)
    assert (diff["baseline"], [file["path"] for file in diff["files"]]) == (first, ["a.txt"])
    with pytest.raises(NotFound):
        house.workspaces.diff(other.id, first)


def test_a_patch_that_is_too_long_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.services import snapshot_diff

    monkeypatch.setattr(snapshot_diff, "LONGEST_PATCH", 300)
    session = house.session()
    house.start(session)
    write(house.folder(session), {f"{n}.txt": f"{n}\n" * 10 for n in range(9)})
    house.workers.sync(session.id, "message.stop")
    house.sandboxes.stop(session.id, EVERY_GENERATION)  # died, so that no answer of its own was kept
    diff = house.workspaces.diff(session.id)
    assert diff["truncated"]
    assert len(diff["files"]) == 9
    assert 0 < len(diff["patch"]) <= 300


def test_newest_snapshots_are_listed_first(house: House) -> None:
    session = house.session()
    house.start(session)
    made = []
    for text in ("1", "2"):
        write(house.folder(session), {"a.txt": text})
        made.append(house.workers.sync(session.id, "message.stop").snapshot_id)
    assert [row.id for row in house.workspaces.list_snapshots(session.id)] == list(reversed(made))
