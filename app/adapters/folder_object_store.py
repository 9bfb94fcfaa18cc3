"""The object store in a folder: one file per key, complete or absent. What the keys mean is in `app.domain.storage`."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.domain import storage
from app.errors import NotFound, Unavailable

_INCOMING = ".incoming"
_CHUNK = 1024 * 1024
_ABANDONED_SECONDS = 86_400


class FolderObjectStore:
    """An `ObjectStore`. Bytes go to a file of their own, are synced and renamed into place: a crash leaves a key whole or absent."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        self._clear_abandoned()

    def put(self, key: str, data: BinaryIO, size: int) -> None:
        """Store exactly `size` bytes of `data`; Unavailable where they do not come or cannot be kept. An error that `data` itself
        raises goes through, and nothing is stored."""
        target = self._path(key)
        part = self._incoming / uuid.uuid4().hex
        self._require_root()
        try:
            with part.open("xb") as file:
                _copy(data, file, size, key)
                file.flush()
                os.fsync(file.fileno())
            _make_folder(target.parent)
            part.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            _discard(part)

    def get(self, key: str) -> BinaryIO:
        try:
            return self._path(key).open("rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            self._require_root()
            raise NotFound("stored object") from error
        except OSError as error:
            raise _unavailable(error) from error

    def exists(self, key: str) -> bool:
        path = self._path(key)
        if path.is_file():
            return True
        self._require_root()
        return False

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise _unavailable(error) from error

    def list_keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`."""
        folder, _, _ = prefix.rpartition("/")
        start = self._path(folder) if folder else self._root
        self._require_root()
        for path in _files_below(start):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix):
                yield key

    def _path(self, key: str) -> Path:
        storage.require_key(key)
        return self._root / key

    def _require_root(self) -> None:
        """An absent key is an answer only where the store is there: a folder that is not mounted holds no keys either."""
        if self._incoming.is_dir():
            return
        raise Unavailable(
            "store_unavailable",
            f"The object store's folder {self._root} is not there.",
            remedy="Bring the folder back (is its disk mounted?), then try again.",
        )

    def _clear_abandoned(self) -> None:
        """Remove what writers that died left behind a day ago or more."""
        _make_folder(self._incoming)
        limit = time.time() - _ABANDONED_SECONDS
        for part in self._incoming.iterdir():
            if part.stat().st_mtime < limit:
                _discard(part)


def _copy(data: BinaryIO, file: BinaryIO, size: int, key: str) -> None:
    left = size
    while left:
        chunk = data.read(min(left, _CHUNK))
        if not chunk:
            raise Unavailable(
                "content_incomplete", f"The bytes of {key} ended {left} bytes early.", remedy="Try again."
            )
        file.write(chunk)
        left -= len(chunk)


def _make_folder(folder: Path) -> None:
    """Make it with its parents, each entry of a new one on disk before the next."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files_below(folder: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _unavailable(error) from error
    for entry in entries:
        if entry.name == _INCOMING:
            continue
        if entry.is_dir():
            yield from _files_below(entry)
        else:
            yield entry


def _discard(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return  # the store is failing as it is; the next start clears what was abandoned


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        "store_unavailable",
        f"The object store does not take or give bytes: {error.strerror or error}.",
        remedy="Look at the free space and the rights of the store's folder, then try again.",
    )
