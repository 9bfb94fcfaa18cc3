"""What every object store promises. Each adapter joins by a parameter of `store`."""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from app.adapters.folder_object_store import FolderObjectStore
from app.adapters.minio_object_store import MinioObjectStore, S3Settings
from app.errors import NotFound, Unavailable
from app.ports import ObjectStore
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, moto_server, rclone_server


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(params=["folder", "moto", "rclone"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderObjectStore(tmp_path / "objects")
    server: S3Server = request.getfixturevalue(request.param)
    return s3_store(server, bucket=f"b-{uuid.uuid4().hex}")


def s3_store(server: S3Server, **changes: Any) -> MinioObjectStore:
    return MinioObjectStore(S3Settings(server.endpoint, ACCESS_KEY, SECRET_KEY, **changes))


def put(store: ObjectStore, key: str, data: bytes) -> None:
    store.put(key, io.BytesIO(data), len(data))


def read(store: ObjectStore, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 9000])
def test_what_was_put_is_what_is_got(store: ObjectStore, data: bytes) -> None:
    put(store, "tnt/ses/blobs/abc", data)
    assert read(store, "tnt/ses/blobs/abc") == data
    assert store.exists("tnt/ses/blobs/abc")


def test_a_key_that_was_never_put_is_not_found(store: ObjectStore) -> None:
    put(store, "a/b/c", b"1")
    assert not store.exists("a/b/d")
    assert not store.exists("a/b")
    assert not store.exists("a/b/c/d")
    for key in ("a/b/d", "a/b", "a/b/c/d"):
        with pytest.raises(NotFound):
            store.get(key)


def test_a_second_put_takes_the_place_of_the_first(store: ObjectStore) -> None:
    put(store, "a/b", b"first")
    with store.get("a/b") as before:
        put(store, "a/b", b"second, and longer")
        assert before.read() == b"first"
    assert read(store, "a/b") == b"second, and longer"


def test_deleting_is_idempotent(store: ObjectStore) -> None:
    put(store, "a/b", b"1")
    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/was")
    assert not store.exists("a/b")


def test_keys_are_listed_by_prefix(store: ObjectStore) -> None:
    for key in ("t/s/blobs/aa", "t/s/blobs/ab", "t/s/snapshots/1.json", "t/s2/blobs/aa"):
        put(store, key, b"1")
    assert sorted(store.list_keys("t/s/blobs/")) == ["t/s/blobs/aa", "t/s/blobs/ab"]
    assert sorted(store.list_keys("t/s/blobs/ab")) == ["t/s/blobs/ab"]
    assert len(list(store.list_keys("t/s"))) == 4
    assert list(store.list_keys("nothing/")) == []


class Breaks(io.RawIOBase):
    """Gives some bytes, then fails."""

    def __init__(self, error: Exception | None) -> None:
        self._error, self._given = error, False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._given:
            if self._error:
                raise self._error
            return b""
        self._given = True
        return b"half"


@pytest.mark.parametrize("error", [ValueError("not the bytes"), OSError("line is dead"), None])
def test_a_put_that_breaks_off_leaves_the_key_absent(store: ObjectStore, error: Exception | None) -> None:
    stream: BinaryIO = Breaks(error)  # type: ignore[assignment]
    with pytest.raises(ValueError if isinstance(error, ValueError) else Unavailable):
        store.put("a/b", stream, 8)
    assert not store.exists("a/b")
    assert list(store.list_keys("")) == []


def test_a_put_that_breaks_off_leaves_the_old_bytes(store: ObjectStore) -> None:
    put(store, "a/b", b"old")
    with pytest.raises(Unavailable):
        store.put("a/b", io.BytesIO(b"ne"), 8)
    assert read(store, "a/b") == b"old"


def test_writers_of_one_key_do_not_mix_their_bytes(store: ObjectStore) -> None:
    texts = [bytes([65 + n]) * 300_000 for n in range(4)]
    threads = [threading.Thread(target=put, args=(store, "a/b", text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(store, "a/b") in texts


BAD = [
    "",
    "/",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a//b",
    "a/",
    "./a",
    ".incoming/x",
    "a/.hidden",
    "a\\b",
    "a b",
    "a\0b",
    "ä",
]


@pytest.mark.parametrize("key", BAD)
def test_keys_that_are_none_are_refused(store: ObjectStore, key: str) -> None:
    for act in (store.get, store.exists, store.delete, lambda k: put(store, k, b"")):
        with pytest.raises(ValueError, match="not an object key"):
            act(key)


def test_a_folder_that_is_not_there_is_no_empty_store(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path / "objects")
    put(store, "a/b", b"1")
    (tmp_path / "objects").rename(tmp_path / "elsewhere")
    for act in (store.get, store.exists, lambda k: put(store, k, b""), lambda k: list(store.list_keys("a/"))):
        with pytest.raises(Unavailable):
            act("a/b")
    (tmp_path / "elsewhere").rename(tmp_path / "objects")
    assert read(store, "a/b") == b"1"
