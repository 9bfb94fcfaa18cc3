"""The manifest of a tree: every file, folder and symlink by content; and the bytes behind it, as they were hashed."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from executor.files import Tree, readable_folder, set_mode
from executor.refusal import Refused
from executor.text_paths import to_name, to_text

_CHUNK = 256 * 1024
_READS = 3

Stamp = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode."""


def stamp_of(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@dataclass(slots=True)
class Scan:
    """One walk over one tree. `known` maps paths to `(stamp, sha256)` of files that need not be read again while their stamp
    holds, unless its ctime is later than `racy_after_ns`: it may have been written again within one tick of the clock.
    `left_out` are folders that are not looked into."""

    tree: Tree
    known: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    racy_after_ns: float = 0.0
    left_out: frozenset[str] = frozenset()
    skipped: list[dict[str, str]] = field(default_factory=list)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield entries as they go over the wire, a folder before what it holds; sockets, FIFOs and devices go to `skipped`."""
        with self.tree.folder([]) as root:
            yield from self._walk(root, "")

    def names(self) -> Iterator[str]:
        """Yield the paths of the regular files, without reading any."""
        with self.tree.folder([]) as root:
            yield from self._names(root, "")

    def _names(self, folder: int, above: str) -> Iterator[str]:
        for name in sorted(os.listdir(folder)):
            try:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    with readable_folder(folder, name) as below:
                        yield from self._names(below, f"{above}{name}/")
                elif stat.S_ISREG(mode):
                    yield above + name
            except (FileNotFoundError, NotADirectoryError):
                continue

    def _walk(self, folder: int, above: str) -> Iterator[dict[str, Any]]:
        for name in sorted(os.listdir(folder)):
            path = above + to_text(name)
            if path in self.left_out:
                continue
            try:
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    yield {"path": path, "type": "dir", "mode": stat.S_IMODE(found.st_mode)}
                    with readable_folder(folder, name) as below:
                        yield from self._walk(below, path + "/")
                elif stat.S_ISLNK(found.st_mode):
                    target = to_text(os.readlink(name, dir_fd=folder))
                    yield {"path": path, "type": "symlink", "mode": 0o777, "target": target}
                elif stat.S_ISREG(found.st_mode):
                    yield self._known_file(found, path) or self._file(folder, name, path)
                else:
                    self.skipped.append({"path": path, "type": "special"})
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone or replaced since it was listed; the next scan sees what it became

    def _known_file(self, found: os.stat_result, path: str) -> dict[str, Any] | None:
        known, stamp = self.known.get(path), stamp_of(found)
        if known is None or known[0] != stamp:
            return None
        mode = stat.S_IMODE(found.st_mode)
        locked = not mode & 0o400 and os.geteuid() != 0  # reading it again would itself move its ctime, for ever
        if found.st_ctime_ns > self.racy_after_ns and not locked:
            return None
        return {"path": path, "type": "file", "mode": mode, "size": stamp[0], "sha256": known[1], "stamp": stamp}

    def _file(self, folder: int, name: str, path: str) -> dict[str, Any]:
        with open_for_hashing(folder, name) as descriptor:
            found = os.fstat(descriptor)
            stamp = stamp_of(found)
            entry: dict[str, Any] = {"path": path, "type": "file", "mode": stat.S_IMODE(found.st_mode)}
            for _ in range(_READS):
                size, digest = _hash(descriptor)
                before, stamp = stamp, stamp_of(os.fstat(descriptor))
                if before == stamp and size == stamp[0]:
                    return {**entry, "size": size, "sha256": digest, "stamp": stamp}
            return {**entry, "size": size, "sha256": digest, "stamp": stamp, "unstable": True}


def _hash(descriptor: int) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while part := os.pread(descriptor, _CHUNK, size):
        digest.update(part)
        size += len(part)
    return size, digest.hexdigest()


def hash_file(folder: int, name: str) -> str:
    """Return the SHA-256 of a regular file."""
    with open_for_hashing(folder, name) as descriptor:
        return _hash(descriptor)[1]


@contextmanager
def open_for_hashing(folder: int, name: str) -> Iterator[int]:
    """Open a regular file for reading, through no symlink. One that its owner may not read is made readable and put back."""
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=folder)
    except PermissionError:
        mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
        set_mode(folder, name, mode | 0o400)
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | flags, dir_fd=folder)
        os.fchmod(descriptor, mode)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(2, "no regular file any more", name)
        yield descriptor
    finally:
        os.close(descriptor)


def content(trees: dict[str, Tree], items: list[dict[str, Any]]) -> Iterator[bytes]:
    """Yield a frame per item `{root, path, sha256, size}`: its bytes, or an empty frame with `changed`.

    The file may still change while it is sent; whoever receives it has the hash and checks.
    """
    for item in items:
        yield from _content(trees[item["root"]], item)


def _content(tree: Tree, item: dict[str, Any]) -> Iterator[bytes]:
    size = item["size"]
    header = b'{"sha256":"%b","status":"%b","size":%d}\n'
    digest = item["sha256"].encode()
    try:
        with tree.parent(to_name(item["path"]), follow=False) as (folder, name), open_for_hashing(folder, name) as file:
            if os.fstat(file).st_size != size:
                raise FileNotFoundError
            yield header % (digest, b"file", size)
            done = 0
            while done < size:
                part = os.pread(file, min(_CHUNK, size - done), done)
                part = part or bytes(
                    min(_CHUNK, size - done)
                )  # cut short meanwhile: the hash will not fit, the frame must
                done += len(part)
                yield part
            yield b"\n"
    except (OSError, Refused):
        yield header % (digest, b"changed", 0) + b"\n"
