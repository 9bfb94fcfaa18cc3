"""Making a tree equal to a manifest: staged blobs, then a plan that writes nothing while content is missing, then the writing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from executor.files import Tree, open_folder, readable_folder, remove, set_mode, write_atomically
from executor.refusal import Refused
from executor.scan import hash_file
from executor.text_paths import to_name

_CHUNK = 256 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Stage:
    """Blobs that were sent for a restore, by hash, in a folder of the executor's own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, 0o700, exist_ok=True)

    def take(self, sha256: str, source: BinaryIO, size: int) -> bool:
        """Read `size` bytes; keep them where they are those of `sha256`."""
        if not _SHA256.fullmatch(sha256):
            raise Refused(422, "invalid", "not a SHA-256")
        part, digest = self.path(sha256) + f".{os.urandom(4).hex()}", hashlib.sha256()
        with open(part, "wb") as file:
            while size > 0:
                data = source.read(min(_CHUNK, size))
                if not data:
                    raise Refused(400, "invalid", "the stream ended early")
                size -= len(data)
                digest.update(data)
                file.write(data)
        if digest.hexdigest() != sha256:
            os.unlink(part)
            return False
        os.replace(part, self.path(sha256))
        return True

    def has(self, sha256: str, size: int) -> bool:
        try:
            return os.stat(self.path(sha256)).st_size == size
        except FileNotFoundError:
            return False

    def read(self, sha256: str) -> Iterator[bytes]:
        with open(self.path(sha256), "rb") as file:
            while part := file.read(_CHUNK):
                yield part

    def clear(self) -> None:
        for name in os.listdir(self._folder):
            os.unlink(os.path.join(self._folder, name))

    def path(self, sha256: str) -> str:
        return os.path.join(self._folder, sha256)


@dataclass(slots=True)
class _Node:
    """What one path is to become; `entry` None for a folder that the manifest only implies."""

    entry: dict[str, Any] | None = None
    children: dict[str, _Node] = field(default_factory=dict)
    in_place: bool = False

    @property
    def type(self) -> str:
        return "dir" if self.entry is None else str(self.entry["type"])


class Restore:
    """One restore of one tree."""

    def __init__(self, tree: Tree, entries: list[dict[str, Any]], stage: Stage) -> None:
        self._tree, self._stage = tree, stage
        self._root = _Node()
        self.missing: set[str] = set()
        self.written = 0
        self.removed = 0
        for entry in entries:
            self._place(entry)

    def _place(self, entry: dict[str, Any]) -> None:
        node = self._root
        parts = to_name(entry["path"]).split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise Refused(422, "path_outside", f"{entry['path']!r} is no path of a manifest")
        for part in parts:
            if node.type != "dir":
                raise Refused(422, "invalid", f"{entry['path']!r} is below something that is no folder")
            node = node.children.setdefault(part, _Node())
        if node.entry is not None or (node.children and entry["type"] != "dir"):
            raise Refused(422, "invalid", f"{entry['path']!r} is there twice")
        node.entry = entry

    def plan(self) -> None:
        """Find out which files are as they should be, and what content is missing for the others."""
        with self._tree.folder([]) as root:
            self._plan(self._root, root)

    def _plan(self, node: _Node, folder: int | None) -> None:
        for name, child in node.children.items():
            if child.type == "dir":
                if folder is not None and stat.S_ISDIR(_mode(folder, name) or 0):
                    with readable_folder(folder, name) as below:
                        self._plan(child, below)
                else:
                    self._plan(child, None)
            elif child.type == "file" and child.entry is not None:
                child.in_place = _is_file(folder, name, child.entry)
                if not child.in_place and not self._stage.has(child.entry["sha256"], child.entry["size"]):
                    self.missing.add(child.entry["sha256"])

    def apply(self, *, clean: bool) -> None:
        """Write what the plan found to be different; with `clean` remove what the manifest does not name."""
        with self._tree.folder([]) as root:
            self._fill(self._root, root, clean)

    def _fill(self, node: _Node, folder: int, clean: bool) -> None:
        if clean:
            for name in set(os.listdir(folder)) - set(node.children):
                remove(folder, name)
                self.removed += 1
        for name, child in node.children.items():
            if child.type == "dir":
                self._folder(child, folder, name, clean)
            elif child.type == "symlink":
                self._symlink(child, folder, name)
            else:
                self._file(child, folder, name)

    def _folder(self, node: _Node, folder: int, name: str, clean: bool) -> None:
        mode = _mode(folder, name)
        if mode is not None and not stat.S_ISDIR(mode):
            remove(folder, name)
        if mode is None or not stat.S_ISDIR(mode):
            os.mkdir(name, 0o755, dir_fd=folder)
            mode = 0o755
            self.written += 1
        below = open_folder(folder, name)
        try:
            self._fill(node, below, clean)
            os.fchmod(below, stat.S_IMODE(mode) if node.entry is None else node.entry["mode"])
        finally:
            os.close(below)

    def _symlink(self, node: _Node, folder: int, name: str) -> None:
        target = to_name((node.entry or {})["target"])
        mode = _mode(folder, name)
        if mode is not None and stat.S_ISLNK(mode) and os.readlink(name, dir_fd=folder) == target:
            return
        if mode is not None:
            remove(folder, name)
        os.symlink(target, name, dir_fd=folder)
        self.written += 1

    def _file(self, node: _Node, folder: int, name: str) -> None:
        entry = node.entry or {}
        if node.in_place:
            if stat.S_IMODE(_mode(folder, name) or 0) != entry["mode"]:
                set_mode(folder, name, entry["mode"])
                self.written += 1
            return
        mode = _mode(folder, name)
        if mode is not None and stat.S_ISDIR(mode):
            remove(folder, name)
        write_atomically(folder, name, self._stage.read(entry["sha256"]), entry["mode"])
        if entry.get("stamp"):
            os.utime(name, ns=(entry["stamp"][1], entry["stamp"][1]), dir_fd=folder, follow_symlinks=False)
        self.written += 1


def _mode(folder: int, name: str) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _is_file(folder: int | None, name: str, entry: dict[str, Any]) -> bool:
    """True where the file is there with these bytes."""
    if folder is None:
        return False
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_size == entry["size"]
            and hash_file(folder, name) == entry["sha256"]
        )
    except FileNotFoundError:
        return False
