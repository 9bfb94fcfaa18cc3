"""Paths from outside: nothing beyond the root can be reached, however it is named or swapped."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.files import Tree, remove, write_atomically
from executor.refusal import Refused
from executor.settings import PathMap
from executor.text_paths import to_name, to_text

SECRET = b"secret of the machine"

OUTSIDE = [
    "..", "../", "../secret", "a/../../secret", "a/..", "./..", "/", "/etc/passwd", "//etc/passwd", "/workspaces/x",
    "/workspace/../secret", "/workspace/a/../../secret", "/proc/self/root/etc/passwd", "/dev/zero", "/root", "~/../..",
    "a/b/../../../secret", "....//../secret", "link", "link/secret", "absolute", "absolute/passwd", "root/etc/passwd",
    "a/up/secret", "a/up2", "chain", "loop", "loop/x", "magic/etc/passwd", "magic",
]  # fmt: skip
ABSENT = [
    "%2e%2e/secret", "%252e%252e/secret", "..%2fsecret", "..\\secret", "a\\..\\..\\secret", "...", ".. ", " ..", "..;/secret",
    "\u2025/secret", "\uff0e\uff0e/secret", "~", "~root", "A", "a.", "caf\u00e9", "cafe\u0301", "C:/secret", "file:///etc/passwd",
    "\u202e../secret", "a/./missing", "missing/link", "$HOME", "`id`", "*", "?", "-rf", "CON", "a:b",
]  # fmt: skip
MALFORMED = ["\0", "a\0b", "../\0", "x" * 5000, "a/" * 3000, "", "/workspace", ".", "./."]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    (tmp_path / "secret").write_bytes(SECRET)
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/file").write_bytes(b"inside")
    for name, target in {
        "link": str(tmp_path), "absolute": "/etc", "root": "/", "a/up": "../..", "a/up2": "../../secret", "chain": "link/secret",
        "loop": "loop", "magic": "/proc/self/root", "good": "a/file", "a/good": "../a/./b/../file", "virtual": "/workspace/a",
        "real": str(root / "a"), "folder": "a",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    return Tree(str(root), "/workspace")


def read(tree: Tree, path: str) -> bytes:
    descriptor = tree.open_file(path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(Refused) as refused:
        read(tree, path)
    assert (refused.value.status, refused.value.code) in {(422, "path_outside"), (422, "not_a_file")}
    assert refused.value.code == "path_outside" or path in ("/", "a/..")
    with pytest.raises((Refused, OSError)), tree.parent(path + "/new", create=True) as (folder, name):
        write_atomically(folder, name, iter((b"x",)))


@pytest.mark.parametrize("path", ABSENT)
def test_a_name_is_just_a_name(tree: Tree, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        read(tree, path)


@pytest.mark.parametrize("path", MALFORMED)
def test_a_malformed_path_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(Refused) as refused:
        read(tree, path)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    "path", ["a/file", "/workspace/a/file", "good", "a/good", "virtual/file", "real/file", "folder/file"]
)
def test_paths_and_links_inside_work(tree: Tree, path: str) -> None:
    assert read(tree, path) == b"inside"


def test_special_files_are_refused_without_waiting(tree: Tree) -> None:
    os.mkfifo(tree.path + "/fifo")
    for name in ("fifo", "a"):
        with pytest.raises(Refused) as refused:
            read(tree, name)
        assert refused.value.code == "not_a_file"


def test_a_folder_swapped_for_a_link_shows_nothing_from_outside(tree: Tree, tmp_path: Path) -> None:
    """A swapper exchanges a folder and a link to the outside while a reader walks through them."""
    root = Path(tree.path)
    (root / "d").mkdir()
    (root / "d/secret").write_bytes(b"inside")
    (root / "evil").symlink_to(tmp_path)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for old, new in (("d", "kept"), ("evil", "d"), ("d", "evil"), ("kept", "d")):
                os.rename(root / old, root / new)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen: dict[str, int] = {}
    try:
        for _ in range(10_000):
            try:
                found = read(tree, "d/secret").decode()
            except (Refused, OSError) as error:
                found = type(error).__name__
            seen[found] = seen.get(found, 0) + 1
    finally:
        done.set()
        swapper.join()
    assert SECRET.decode() not in seen
    assert seen["inside"] > 0


def test_removing_a_tree_never_follows_a_link(tree: Tree, tmp_path: Path) -> None:
    (Path(tree.path) / "a/b").chmod(0o500)
    with tree.parent("a") as (folder, name):
        remove(folder, name)
    with tree.parent("link") as (folder, name):
        remove(folder, name)
    assert (tmp_path / "secret").read_bytes() == SECRET
    assert not (Path(tree.path) / "a").exists()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tree: Tree) -> None:
    def broken() -> object:
        yield b"half"
        raise ConnectionResetError

    before = sorted(os.listdir(tree.path + "/a"))
    with pytest.raises(ConnectionResetError), tree.parent("a/file") as (folder, name):
        write_atomically(folder, name, broken())  # type: ignore[arg-type]
    assert sorted(os.listdir(tree.path + "/a")) == before
    assert read(tree, "a/file") == b"inside"


@given(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_every_name_survives_as_text(name: bytes) -> None:
    text = to_text(os.fsdecode(name))
    text.encode()  # valid Unicode
    assert os.fsencode(to_name(text)) == name


def test_no_two_names_share_a_text() -> None:
    names = [b"\xff", "\ufdd0ff".encode(), "\ufdd0".encode(), b"\xef\xb7\x90", b"\xef\xb7", b"a"]
    assert len({to_text(os.fsdecode(name)) for name in names}) == len(set(names))


def test_promised_paths_are_replaced_as_words_only() -> None:
    paths = PathMap({"/workspace": "/var/s/workspace", "/opt/agents/claude": "/home/u/claude"})
    assert paths.apply("/workspace") == "/var/s/workspace"
    assert paths.apply("/opt/agents/claude:/workspace/bin") == "/home/u/claude:/var/s/workspace/bin"
    assert paths.apply('{"cwd":"/workspace"}') == '{"cwd":"/var/s/workspace"}'
    assert paths.apply("/workspaces /x/workspace /workspace-2") == "/workspaces /x/workspace /workspace-2"


@pytest.mark.parametrize("knows_nameless", [True, False])
def test_a_write_is_seen_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_nameless: bool
) -> None:
    if not knows_nameless:
        real = os.open

        def refusing(path: str, flags: int, *more: int, **named: int) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, "no such files here")
            return real(path, flags, *more, **named)

        monkeypatch.setattr(os, "open", refusing)
    beside: list[list[str]] = []

    def parts(fails: bool = False) -> Iterator[bytes]:
        yield b"new "
        beside.append([name for name in os.listdir(tmp_path) if name != "file"])
        if fails:
            raise OSError(errno.ENOSPC, "full")
        yield b"text"

    folder = os.open(tmp_path, os.O_RDONLY)
    (tmp_path / "file").write_text("old")
    with pytest.raises(OSError, match="full"):
        write_atomically(folder, "file", parts(fails=True))
    assert (tmp_path / "file").read_text() == "old"
    assert write_atomically(folder, "file", parts()) == 8
    os.close(folder)
    assert (tmp_path / "file").read_text() == "new text"
    assert os.listdir(tmp_path) == ["file"]
    assert [len(names) for names in beside] == ([0, 0] if knows_nameless else [1, 1])
