"""The file of a backup: one tar of plain members, and last of all a manifest with the size and hash of each, and its own hash.

    sql/…             the database (`sql_copy`)
    objects/KEY       the objects that it refers to
    manifest.json     what is in the file, and what could not be put into it
    manifest.sha256

Members are only ever read as streams by their names: nothing of an archive is unpacked into a folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from app.domain import storage
from app.errors import Invalid
from app.services.sql_copy import Engine, TableCopy

FORMAT = 1
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
SQL, OBJECTS = "sql/", "objects/"
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveManifest:
    """What a backup holds. `missing` and `damaged` are keys of objects that the database names and the store had no more, or not as
    they were saved (a damaged one is not in the file)."""

    created_at: float
    engine: Engine
    schema: tuple[str, ...]
    tables: tuple[TableCopy, ...]
    members: Mapping[str, Member]
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """The keys of the objects in the file."""
        return [name.removeprefix(OBJECTS) for name in self.members if name.startswith(OBJECTS)]

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "createdAt": self.created_at,
            "engine": self.engine,
            "schema": list(self.schema),
            "tables": [table.as_json() for table in self.tables],
            "members": {name: {"size": member.size, "sha256": member.sha256} for name, member in self.members.items()},
            "missing": list(self.missing),
            "damaged": list(self.damaged),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ArchiveManifest:
        if value["format"] != FORMAT:
            raise _unreadable(f"its format is {value['format']}, not {FORMAT}")
        return ArchiveManifest(
            created_at=value["createdAt"],
            engine=value["engine"],
            schema=tuple(value["schema"]),
            tables=tuple(TableCopy(table["name"], tuple(table["columns"]), table["rows"]) for table in value["tables"]),
            members={name: Member(**member) for name, member in value["members"].items()},
            missing=tuple(value["missing"]),
            damaged=tuple(value["damaged"]),
        )


@dataclass
class ArchiveWriter:
    """Writes members one after the other; `seal` ends the file."""

    tar: tarfile.TarFile
    members: dict[str, Member] = field(default_factory=dict)

    def add(self, name: str, data: BinaryIO, size: int, sha256: str) -> None:
        """Add what is read and hashed already."""
        self._add(name, data, size)
        self.members[name] = Member(size, sha256)

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            self.add(name, file, path.stat().st_size, digest)

    def seal(self, manifest: ArchiveManifest) -> None:
        data = json.dumps(manifest.as_json(), separators=(",", ":")).encode()
        seal = hashlib.sha256(data).hexdigest().encode()
        self._add(MANIFEST, io.BytesIO(data), len(data))
        self._add(SEAL, io.BytesIO(seal), len(seal))

    def _add(self, name: str, data: BinaryIO, size: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, int(time.time())
        self.tar.addfile(entry, data)


class ArchiveReader:
    """An archive whose every byte was looked at and found to be what its manifest says. Use `reading` to get one."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._entries = {entry.name: entry for entry in tar.getmembers()}
        self.manifest = self._verify()

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._tar.extractfile(self._entries[name]))

    def _verify(self) -> ArchiveManifest:
        """Raise Invalid `backup_unreadable` unless all members are there, are files, and have their hashes; nothing else may be."""
        if MANIFEST not in self._entries or SEAL not in self._entries:
            raise _unreadable("it has no manifest: it is no backup, or was not written to its end")
        data = self._read(MANIFEST)
        if hashlib.sha256(data).hexdigest() != self._read(SEAL).decode("ascii", "replace"):
            raise _unreadable("its manifest was changed")
        try:
            manifest = ArchiveManifest.from_json(json.loads(data))
            for key in manifest.keys:
                storage.require_key(key)
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable("its manifest is not one of ours") from error
        if set(self._entries) != {*manifest.members, MANIFEST, SEAL}:
            raise _unreadable("it does not hold what its manifest names")
        for name, member in manifest.members.items():
            if not self._entries[name].isfile() or self._hash(name) != member:
                raise _unreadable(f"{name} was changed or cut off")
        return manifest

    def _hash(self, name: str) -> Member:
        digest, size = hashlib.sha256(), 0
        with self.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return Member(size, digest.hexdigest())

    def _read(self, name: str) -> bytes:
        with self.open(name) as stream:
            return stream.read()


@contextmanager
def writing(file: BinaryIO) -> Iterator[ArchiveWriter]:
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        yield ArchiveWriter(tar)


@contextmanager
def reading(path: Path) -> Iterator[ArchiveReader]:
    """Open and verify a backup. Invalid `backup_unreadable` where it is none, or not whole."""
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield ArchiveReader(tar)
    except (tarfile.TarError, EOFError) as error:
        raise _unreadable("it is no tar archive, or cut off") from error


def _unreadable(why: str) -> Invalid:
    return Invalid("backup_unreadable", f"The file cannot be restored: {why}.", remedy="Take another backup's file.")
