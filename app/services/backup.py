"""Backup: SQL first, then every object that it refers to. Works while everything runs, because a row never names an object that is
not stored yet, and objects do not change. Restoring is in `restore`.

Left out on purpose: Redis (logs are written again from SQL) and sandboxes (a session comes back from its newest snapshot).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import peewee

from app.domain import storage
from app.domain.manifest import Manifest
from app.errors import Invalid, NotFound
from app.log import logger
from app.ports import ObjectStore
from app.services.backup_archive import OBJECTS, SQL, ArchiveManifest, ArchiveWriter, writing
from app.services.sql_copy import SqlCopy, copied

THREADS = 8
AHEAD = 32
"""Objects that are fetched before it is their turn."""
IN_MEMORY_BYTES = 1024 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupResult:
    """`missing` and `damaged` are keys of objects that are not in the backup although the database names them."""

    path: Path
    bytes: int
    objects: int
    seconds: float
    missing: tuple[str, ...]
    damaged: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.damaged


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that the database refers to. `optional`: one that may never have been made."""

    key: str
    sha256: str | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class _Named:
    """What the database itself names: manifests of snapshots with their sessions, and all else."""

    manifests: dict[str, tuple[str, str]]
    others: list[Wanted]


def back_up(database: peewee.Database, store: ObjectStore, path: Path) -> BackupResult:
    """Write a backup to `path`, whole or not at all. Unavailable where database or store do not answer."""
    started = time.monotonic()
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with writing(file) as archive:
                manifest = _write(database, store, archive, path.parent)
                archive.seal(manifest)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    result = BackupResult(
        path,
        path.stat().st_size,
        len(manifest.keys),
        round(time.monotonic() - started, 3),
        manifest.missing,
        manifest.damaged,
    )
    logger.info("backup written", bytes=result.bytes, objects=result.objects, missing=len(result.missing))
    return result


def _write(database: peewee.Database, store: ObjectStore, archive: ArchiveWriter, beside: Path) -> ArchiveManifest:
    created_at = time.time()
    with tempfile.TemporaryDirectory(prefix=".paddock-backup-", dir=beside) as folder:
        with copied(database, Path(folder)) as copy:
            named = _named_by(copy)
        for path in copy.files:
            archive.add_file(SQL + path.name, path)
            path.unlink()
    objects = _Objects(store, archive)
    blobs = objects.take_manifests(named.manifests)
    objects.take(_each_once([*named.others, *blobs]))
    return ArchiveManifest(
        created_at,
        copy.engine,
        copy.schema,
        copy.tables,
        archive.members,
        tuple(objects.missing),
        tuple(objects.damaged),
    )


def _named_by(copy: SqlCopy) -> _Named:
    """Read from the copy which objects it refers to; a test holds this against the keys that `storage` knows."""
    manifests: dict[str, tuple[str, str]] = {}
    others: list[Wanted] = []
    for snapshot_id, tenant_id, session_id, key in copy.select(
        "SELECT id, tenant_id, session_id, object_key FROM snapshots ORDER BY id"
    ):
        manifests[key] = (tenant_id, session_id)
        others.append(Wanted(storage.diff_key(tenant_id, session_id, snapshot_id), optional=True))
    for key, sha256 in copy.select("SELECT object_key, sha256 FROM bundles ORDER BY id"):
        others.append(Wanted(key, sha256 or None))
    events = """
        SELECT r.tenant_id, r.session_id, e.data FROM run_events e JOIN agent_runs r ON r.id = e.run_id
        WHERE e.type = 'tool.result' AND e.data LIKE '%"blobId"%' """
    for tenant_id, session_id, data in copy.select(_for_driver(copy, events)):
        blob_id = json.loads(data).get("blobId")
        if blob_id:
            others.append(Wanted(storage.blob_key(tenant_id, session_id, blob_id), blob_id))
    return _Named(manifests, others)


def _for_driver(copy: SqlCopy, sql: str) -> str:
    """psycopg2 takes a percent sign for a parameter where it is given any; peewee always gives some."""
    return sql.replace("%", "%%") if copy.engine == "postgres" else sql


def _each_once(wanted: Iterable[Wanted]) -> list[Wanted]:
    return list({each.key: each for each in wanted}.values())


class _Objects:
    """Copies objects from the store into an archive, some at a time ahead of their turn."""

    def __init__(self, store: ObjectStore, archive: ArchiveWriter) -> None:
        self._store, self._archive = store, archive
        self.missing: list[str] = []
        self.damaged: list[str] = []

    def take_manifests(self, manifests: dict[str, tuple[str, str]]) -> list[Wanted]:
        """Take the manifests of snapshots; return the content that they name."""
        blobs: dict[str, Wanted] = {}

        def look(wanted: Wanted, data: BinaryIO) -> bool:
            tenant_id, session_id = manifests[wanted.key]
            try:
                manifest = Manifest.from_json(json.loads(data.read()))
                manifest.check()
            except (Invalid, ValueError, KeyError, TypeError):
                return False
            for sha256 in manifest.hashes():
                key = storage.blob_key(tenant_id, session_id, sha256)
                blobs[key] = Wanted(key, sha256)
            return True

        self._take([Wanted(key) for key in manifests], look)
        return list(blobs.values())

    def take(self, wanted: Iterable[Wanted]) -> None:
        self._take(wanted, lambda _wanted, _data: True)

    def _take(self, wanted: Iterable[Wanted], is_sound: Callable[[Wanted, BinaryIO], bool]) -> None:
        for each, fetched in self._fetched(wanted):
            if fetched is None:
                if not each.optional:
                    self.missing.append(each.key)
                continue
            with closing(fetched.data):
                if each.sha256 not in (None, fetched.sha256) or not is_sound(each, fetched.data):
                    self.damaged.append(each.key)
                    continue
                fetched.data.seek(0)
                self._archive.add(OBJECTS + each.key, fetched.data, fetched.size, fetched.sha256)

    def _fetched(self, wanted: Iterable[Wanted]) -> Iterator[tuple[Wanted, _Fetched | None]]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="backup") as pool:
            ahead: deque[tuple[Wanted, Future[_Fetched | None]]] = deque()
            for each in wanted:
                ahead.append((each, pool.submit(self._fetch, each.key)))
                if len(ahead) >= AHEAD:
                    first, future = ahead.popleft()
                    yield first, future.result()
            for first, future in ahead:
                yield first, future.result()

    def _fetch(self, key: str) -> _Fetched | None:
        try:
            source = self._store.get(key)
        except NotFound:
            return None
        data: Any = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed by who takes it
        digest, size = hashlib.sha256(), 0
        with closing(source):
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                size += data.write(chunk)
        data.seek(0)
        return _Fetched(data, size, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class _Fetched:
    data: BinaryIO
    size: int
    sha256: str
