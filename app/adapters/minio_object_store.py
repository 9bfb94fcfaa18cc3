"""The object store in a bucket of any S3, over the MinIO SDK. What the keys mean is in `app.domain.storage`.

S3 gives what the port asks for by itself: an object appears with its last byte or not at all. What is added here: a bucket that
is missing is no empty store, every wait has an end, and no error tells a secret.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error

from app.domain import storage
from app.errors import NotFound, Unavailable

CONNECT_SECONDS = 5.0
"""Longest wait for a connection, and for the store to take a part of 5 MiB."""
READ_SECONDS = 15.0
"""Longest silence of a store that is to answer."""
TRIES = 3
BUCKET_SEEN_SECONDS = 5.0
"""So long an absent key is believed without asking for the bucket again."""

_ABSENT = frozenset({"NoSuchKey", "NoSuchObject"})
_MADE_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class S3Settings:
    """`endpoint` is `host`, `host:port` or an address with its scheme, which then decides over `secure`."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = "paddock"
    region: str = "us-east-1"
    secure: bool = True


class MinioObjectStore:
    """An `ObjectStore`. It connects at the first use; the bucket is made then, where it is missing. Safe for many threads."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._where = f"{settings.endpoint}, bucket {settings.bucket}"
        self._client = _client(settings)
        self._bucket_seen_at: float | None = None

    def put(self, key: str, data: BinaryIO, size: int) -> None:
        """Store exactly `size` bytes of `data`; Unavailable where they do not come or cannot be kept. An error that `data` itself
        raises goes through, and nothing is stored."""
        storage.require_key(key)
        with self._calling():
            source = cast(BinaryIO, _Exactly(data, size, key))
            # One part after the other: the SDK's own threads would outlive an upload that breaks off.
            self._client.put_object(self._bucket, key, source, size, num_parallel_uploads=1)

    def get(self, key: str) -> BinaryIO:
        storage.require_key(key)
        try:
            with self._calling():
                answer: Any = self._client.get_object(self._bucket, key)
        except NotFound:
            self._require_bucket()
            raise
        return cast(BinaryIO, _Body(self, answer))

    def exists(self, key: str) -> bool:
        storage.require_key(key)
        try:
            with self._calling():
                self._client.stat_object(self._bucket, key)
        except NotFound:
            self._require_bucket()
            return False
        return True

    def delete(self, key: str) -> None:
        storage.require_key(key)
        try:
            with self._calling():
                self._client.remove_object(self._bucket, key)
        except NotFound:
            return

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`."""
        folder, _, _ = prefix.rpartition("/")
        if folder:
            storage.require_key(folder)
        with self._calling():
            for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                if not found.is_dir:
                    yield str(found.object_name)

    # --- inside ------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Turn what goes wrong with the store into the product's errors; open it before the first call."""
        self._open()
        with self.translating():
            yield

    @contextmanager
    def translating(self) -> Iterator[None]:
        """The same for what is read of an object that is open already."""
        try:
            yield
        except (MinioException, urllib3.exceptions.HTTPError, OSError) as error:
            code = _code_of(error)
            if code in _ABSENT:
                raise NotFound("stored object") from error
            raise self._unavailable(code or type(error).__name__) from error

    def _open(self) -> None:
        """Make the bucket where it is missing, once: one that goes away later is not made anew in silence."""
        if self._bucket_seen_at is not None:
            return
        with self.translating():
            if not self._client.bucket_exists(self._bucket):
                self._make_bucket()
        self._bucket_seen_at = time.monotonic()

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except (S3Error, InvalidResponseError) as error:
            if _code_of(error) not in _MADE_ALREADY:
                raise

    def _require_bucket(self) -> None:
        """An absent key is an answer only where the bucket is there; HEAD does not tell which of the two is missing."""
        if self._bucket_seen_at is not None and time.monotonic() - self._bucket_seen_at < BUCKET_SEEN_SECONDS:
            return
        with self.translating():
            if not self._client.bucket_exists(self._bucket):
                raise self._unavailable("NoSuchBucket")
        self._bucket_seen_at = time.monotonic()

    def _unavailable(self, what: str) -> Unavailable:
        return Unavailable(
            "store_unavailable",
            f"The object store ({self._where}) does not take or give bytes: {what}.",
            remedy="Look whether the store runs, and at S3_ENDPOINT, S3_BUCKET and the keys; then try again.",
        )


class _Exactly(io.RawIOBase):
    """The first `size` bytes of a stream: one that ends early is an error before anything is stored."""

    def __init__(self, source: BinaryIO, size: int, key: str) -> None:
        super().__init__()
        self._source, self._left, self._key = source, size, key

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        if wanted == 0:
            return b""
        chunk = self._source.read(min(wanted, _CHUNK))
        if not chunk:
            raise Unavailable(
                "content_incomplete", f"The bytes of {self._key} ended {self._left} bytes early.", remedy="Try again."
            )
        self._left -= len(chunk)
        return chunk


class _Body(io.RawIOBase):
    """The bytes of an object as they come; a connection that breaks is Unavailable, never an early end."""

    def __init__(self, store: MinioObjectStore, answer: Any) -> None:
        super().__init__()
        self._store, self._answer = store, answer

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        with self._store.translating():
            amount = None if size is None or size < 0 else size
            data: bytes = self._answer.read(amount, decode_content=False)
            return data

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._answer.close()
            self._answer.release_conn()
        super().close()


def _client(settings: S3Settings) -> Minio:
    parts = urlsplit(settings.endpoint if "://" in settings.endpoint else f"//{settings.endpoint}")
    secure = parts.scheme != "http" if parts.scheme else settings.secure
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        maxsize=32,
        cert_reqs="CERT_REQUIRED",
        ca_certs=ssl.get_default_verify_paths().cafile or certifi.where(),  # SSL_CERT_FILE names a private authority
        retries=urllib3.Retry(total=TRIES - 1, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )
    return Minio(
        parts.netloc,
        access_key=settings.access_key or None,
        secret_key=settings.secret_key or None,
        secure=secure,
        region=settings.region or None,
        http_client=pool,
    )


def _code_of(error: Exception) -> str:
    """Return the store's own word for what went wrong, also from servers that answer with another content type than the SDK
    expects; empty where there is none."""
    if isinstance(error, S3Error):
        return str(error.code or "")
    if isinstance(error, InvalidResponseError):
        body = str(error)
        return body.partition("<Code>")[2].partition("</Code>")[0]
    return ""
