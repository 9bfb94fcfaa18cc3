"""What an S3 adds to the promises of `test_object_store`: buckets, keys, breaks of the line, waits that end."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.adapters import minio_object_store
from app.adapters.minio_object_store import MinioObjectStore, S3Settings
from app.errors import AppError, NotFound, Unavailable
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, free_port, rclone_server

MANY = bytes(range(256)) * 50_000  # three parts of an upload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "rclone"


@pytest.fixture
def server(folder: Path) -> Iterator[S3Server]:
    with rclone_server(folder) as running:
        yield running


def store_at(endpoint: str, secret: str = SECRET_KEY) -> MinioObjectStore:
    return MinioObjectStore(S3Settings(endpoint, ACCESS_KEY, secret))


def put(store: MinioObjectStore, key: str, data: bytes) -> None:
    store.put(key, io.BytesIO(data), len(data))


def test_the_bucket_is_made_at_the_first_use(server: S3Server, folder: Path) -> None:
    store = store_at(server.endpoint)
    assert list(folder.iterdir()) == []
    assert not store.exists("a/b")
    assert [path.name for path in folder.iterdir()] == ["paddock"]
    put(store_at(server.endpoint), "a/b", b"1")
    with store.get("a/b") as stream:
        assert stream.read() == b"1"


def test_a_bucket_that_goes_away_is_an_outage_and_no_empty_store(
    server: S3Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(minio_object_store, "BUCKET_SEEN_SECONDS", 0.0)
    store = store_at(server.endpoint)
    put(store, "a/b", b"1")
    store._client.remove_object("paddock", "a/b")
    store._client.remove_bucket("paddock")
    for act in (store.exists, store.get, lambda key: put(store, key, b"2"), lambda key: list(store.list_keys(key))):
        with pytest.raises(Unavailable):
            act("a/b")
    assert not (folder / "paddock").exists()


def test_an_object_of_many_parts_goes_and_comes_as_a_stream(server: S3Server) -> None:
    store = store_at(server.endpoint)
    put(store, "a/large", MANY)
    with store.get("a/large") as stream:
        pieces = list(iter(lambda: stream.read(100_000), b""))
    assert b"".join(pieces) == MANY
    assert len(pieces) > 100


def test_an_upload_of_many_parts_that_breaks_off_leaves_nothing(server: S3Server) -> None:
    store, threads = store_at(server.endpoint), threading.active_count()
    with pytest.raises(Unavailable):
        store.put("a/large", io.BytesIO(MANY[:-1]), len(MANY))
    assert not store.exists("a/large")
    assert list(store.list_keys("")) == []
    assert threading.active_count() == threads


def test_wrong_keys_are_an_outage_that_tells_no_secret(server: S3Server) -> None:
    store = store_at(server.endpoint, "not-the-secret-of-this-store")
    with pytest.raises(AppError) as refused:
        put(store, "a/b", b"1")
    assert isinstance(refused.value, Unavailable)
    assert "not-the-secret" not in f"{refused.value.message} {refused.value.remedy}"


def test_a_store_that_is_down_is_unavailable_and_is_used_again_when_it_is_back(folder: Path) -> None:
    port = free_port()
    store = store_at(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable):
        put(store, "a/b", b"1")
    with rclone_server(folder, port):
        put(store, "a/b", b"1")
    with pytest.raises(Unavailable):
        store.exists("a/b")
    with rclone_server(folder, port):
        assert store.exists("a/b")


def test_a_store_that_takes_calls_and_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minio_object_store, "READ_SECONDS", 0.05)
    with answering([]) as (endpoint, asked), pytest.raises(Unavailable):
        store_at(endpoint).exists("a/b")
    assert len(asked) == minio_object_store.TRIES


def test_a_passing_failure_is_tried_again() -> None:
    failed = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n"
    with answering([failed, OK, failed, OK]) as (endpoint, asked):
        assert store_at(endpoint).exists("a/b")
    assert [line.split()[0] for line in asked] == ["HEAD"] * 4


def test_an_object_that_breaks_off_on_its_way_is_no_short_object() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it"
    with answering([OK, half]) as (endpoint, _), store_at(endpoint).get("a/b") as stream, pytest.raises(Unavailable):
        stream.read()


def test_an_absent_object_is_known_whatever_content_type_the_error_has() -> None:
    body = b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"
    head = b"HTTP/1.1 404 Not Found\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    for content_type in (b"application/xml", b"text/xml"):
        with answering([OK, head % (content_type, len(body)) + body]) as (endpoint, _), pytest.raises(NotFound):
            store_at(endpoint).get("a/b")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLast-Modified: Fri, 20 Nov 2026 11:00:00 GMT\r\n\r\n"


@contextmanager
def answering(answers: list[bytes]) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers, one per connection, and then none; yields its address and the first lines it was sent."""
    asked: list[str] = []
    held: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        waiting = list(answers)
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            asked.append(connection.recv(65_536).partition(b"\r\n")[0].decode())
            if waiting:
                connection.sendall(waiting.pop(0).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
                connection.close()
            else:
                held.append(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()
