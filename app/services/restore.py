"""Restoring a backup into an installation that was never used: every hash is checked before anything is written, objects come
before the rows that name them, and the database appears whole or not at all.

What belonged to the place that the backup was taken at is forgotten: leases, sandboxes, wishes. Each session comes back from its
newest snapshot; a run that was at work begins another attempt; one that waits for a person waits on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee

from app import db
from app.errors import Conflict, Invalid
from app.log import logger
from app.ports import ObjectStore
from app.services import runs, sql_copy, worker_rows
from app.services.backup_archive import OBJECTS, SQL, ArchiveManifest, ArchiveReader, reading
from app.services.blob_uploads import BlobUploads


@dataclass(frozen=True, slots=True)
class Target:
    """Where to restore: the URL of the database, the store, and the folder of the local sandboxes."""

    database_url: str
    store: ObjectStore
    sandboxes: Path

    @property
    def sqlite_file(self) -> Path | None:
        """The file of the database; None with PostgreSQL."""
        path = self.database_url.removeprefix("sqlite:///")
        return Path(path) if path != self.database_url else None


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """`missing` and `damaged` were not in the backup. `open_runs` go on where they can; `sessions` come back when they are used."""

    created_at: float
    objects: int
    sessions: int
    open_runs: int
    missing: tuple[str, ...]
    damaged: tuple[str, ...]


def restore(path: Path, target: Target) -> RestoreResult:
    """Restore a backup. Raises Invalid `backup_unreadable` or `backup_mismatch`, Conflict `installation_not_empty`, Unavailable. After
    a failure it may be called again: what it has stored already does not count as somebody else's."""
    with reading(path) as archive:
        manifest = archive.manifest
        _require_known(manifest)
        _require_clean(manifest, target)
        _store_objects(archive, target.store)
        sessions, open_runs = _load(archive, target)
    logger.info("backup restored", objects=len(manifest.keys), sessions=sessions, open_runs=open_runs)
    return RestoreResult(
        manifest.created_at, len(manifest.keys), sessions, open_runs, manifest.missing, manifest.damaged
    )


def _require_known(manifest: ArchiveManifest) -> None:
    unknown = set(manifest.schema) - set(db.migration_names(sqlite=manifest.engine == "sqlite"))
    if unknown:
        raise Invalid(
            "backup_mismatch",
            f"The backup was made by a newer Paddock: it has seen {', '.join(sorted(unknown))}.",
            remedy="Restore it with that version or a later one.",
        )


def _require_clean(manifest: ArchiveManifest, target: Target) -> None:
    engine = "sqlite" if target.sqlite_file is not None else "postgres"
    if engine != manifest.engine:
        raise Invalid(
            "backup_mismatch",
            f"The backup is of {manifest.engine}, this installation's database is {engine}.",
            remedy="Set DATABASE_URL to a database of the backup's kind.",
        )
    if not _is_unused(target):
        raise _not_empty("its database has a tenant")
    if target.sandboxes.is_dir() and any(path.is_dir() for path in target.sandboxes.glob("[!.]*")):
        raise _not_empty(f"there are sandboxes in {target.sandboxes}")
    own = set(manifest.keys)
    foreign = next((key for key in target.store.list_keys("") if key not in own), None)
    if foreign is not None:
        raise _not_empty(f"its object store holds {foreign}, which is not of this backup")


def _store_objects(archive: ArchiveReader, store: ObjectStore) -> None:
    with BlobUploads(store) as uploads:
        for key in archive.manifest.keys:
            with archive.open(OBJECTS + key) as stream:
                uploads.put(key, stream, archive.manifest.members[OBJECTS + key].size)


def _is_unused(target: Target) -> bool:
    if target.sqlite_file is not None and not target.sqlite_file.exists():
        return True  # looking into it would make it
    database = db.connect(target.database_url)
    db.bind(database)
    try:
        with db.reading():
            return sql_copy.is_empty(database)
    finally:
        _close(database)


# --- SQL -------------------------------------------------------------------------------------------------------------------------


def _load(archive: ArchiveReader, target: Target) -> tuple[int, int]:
    if target.sqlite_file is not None:
        return _load_sqlite(archive, target.sqlite_file)
    return _load_postgres(archive, target.database_url)


def _load_sqlite(archive: ArchiveReader, final: Path) -> tuple[int, int]:
    """Complete the file beside its place, then move it there."""
    final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = final.with_name(final.name + ".restoring")
    _remove(part)
    with part.open("xb") as file, archive.open(SQL + sql_copy.SQLITE_FILE) as stream:
        part.chmod(0o600)
        while chunk := stream.read(1024 * 1024):
            file.write(chunk)
    counts = _with_database(f"sqlite:///{part}", _settle)
    _remove(final)
    part.replace(final)
    return counts


def _load_postgres(archive: ArchiveReader, url: str) -> tuple[int, int]:
    manifest = archive.manifest

    def fill(database: peewee.Database) -> tuple[int, int]:
        with db.transaction():
            sql_copy.fill_postgres(database, manifest.schema, manifest.tables, lambda name: archive.open(SQL + name))
            return _settle(database)

    return _with_database(url, fill)


def _settle(database: peewee.Database) -> tuple[int, int]:
    """Bring the rows up to this version and forget the place they were copied at; return sessions and open runs."""
    db.migrate(database)
    with db.transaction():
        open_runs = runs.forget_holders()
        worker_rows.forget_sandboxes()
    row = database.execute_sql("SELECT COUNT(*) FROM chat_sessions").fetchone()
    return int(row[0]), open_runs


def _with_database(url: str, work: Callable[[peewee.Database], tuple[int, int]]) -> tuple[int, int]:
    database = db.connect(url)
    db.bind(database)
    try:
        return work(database)
    finally:
        _close(database)


def _close(database: Any) -> None:
    """Close every connection: SQLite folds its log into the file then."""
    database.close_all()


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _not_empty(why: str) -> Conflict:
    return Conflict(
        "installation_not_empty",
        f"This installation is in use: {why}.",
        remedy="Restore into an empty PADDOCK_VAR, an empty database and an empty bucket.",
    )
