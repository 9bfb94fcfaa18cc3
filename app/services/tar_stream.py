"""A tar archive as a stream of bytes, made while it is read. Members are entries of a manifest; none may lead out of the archive."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from app.domain.manifest import Entry

_CHUNK = 256 * 1024
_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}


def tar_of(members: Iterable[tuple[Entry, BinaryIO | None]]) -> Iterator[bytes]:
    """Yield a PAX archive; a file's stream is read to its end before the next member is asked for. Symlinks that lead out of the
    archive are left out, special bits of modes too."""
    for entry, stream in members:
        if entry.type == "symlink" and _leads_out(entry):
            continue
        yield _header(entry)
        if stream is not None:
            yield from _body(stream, entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.type = _TYPES[entry.type]
    info.mode = entry.mode & 0o777
    info.size = entry.size if entry.type == "file" else 0
    info.linkname = entry.target or ""
    info.mtime = entry.stamp[1] // 1_000_000_000 if entry.stamp else 0
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _body(stream: BinaryIO, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        if not chunk:
            raise EOFError("the content of an archive's member ended early")
        left -= len(chunk)
        yield chunk
    yield bytes(-size % tarfile.BLOCKSIZE)


def _leads_out(entry: Entry) -> bool:
    target = str(entry.target)
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), target))
    return target.startswith("/") or reached == ".." or reached.startswith("../")
