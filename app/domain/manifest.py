"""The manifest of a snapshot: what a workspace (and the agent's own state) held, by content. ARCHITECTURE decision 10."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

Root = Literal["workspace", "agent"]
ROOTS: tuple[Root, ...] = ("workspace", "agent")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or symlink. `path` is relative to its root; `mode` the permission bits; `stamp` is
    `(size, mtime_ns, ctime_ns, inode)` at the time the bytes were hashed, by which a later scan knows the file again."""

    path: str
    type: Literal["file", "dir", "symlink"]
    mode: int
    size: int = 0
    sha256: str | None = None
    target: str | None = None
    stamp: tuple[int, int, int, int] | None = None
    unstable: bool = False

    def as_json(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in fields.items() if value not in (None, False) or name in ("mode", "size")}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Entry:
        stamp = value.get("stamp")
        return Entry(**{**value, "stamp": (stamp[0], stamp[1], stamp[2], stamp[3]) if stamp else None})


@dataclass(frozen=True, slots=True)
class Manifest:
    """The trees by root, entries sorted by path. `scanned_at` is POSIX seconds by the executor's clock; `fuzzy` when
    anything ran while it was made: such a snapshot opens no gate."""

    trees: dict[Root, tuple[Entry, ...]]
    scanned_at: float
    fuzzy: bool = True

    def entries(self) -> Iterator[tuple[Root, Entry]]:
        for root, entries in self.trees.items():
            for entry in entries:
                yield root, entry

    def hashes(self) -> set[str]:
        return {entry.sha256 for _, entry in self.entries() if entry.sha256 is not None}

    def sizes(self) -> dict[str, int]:
        return {entry.sha256: entry.size for _, entry in self.entries() if entry.sha256 is not None}

    def same_content(self, other: Manifest) -> bool:
        """True where both hold the same paths, bytes, modes and links, whatever the stamps say."""
        return self._content() == other._content()

    def same_stamps(self, other: Manifest) -> bool:
        """True where nothing at all was written between the two scans (decision 9)."""
        return self._stamped() == other._stamped()

    def _content(self) -> dict[Root, tuple[Entry, ...]]:
        return {r: tuple(replace(e, stamp=None, unstable=False) for e in t) for r, t in self.trees.items() if t}

    def _stamped(self) -> dict[Root, tuple[Entry, ...]]:
        return {r: tuple(replace(e, unstable=False) for e in t) for r, t in self.trees.items() if t}

    def as_json(self) -> dict[str, Any]:
        trees = {root: [entry.as_json() for entry in entries] for root, entries in self.trees.items()}
        return {"format": 1, "scannedAt": self.scanned_at, "fuzzy": self.fuzzy, "trees": trees}

    @staticmethod
    def from_json(value: dict[str, Any]) -> Manifest:
        trees: dict[Root, tuple[Entry, ...]] = {
            root: tuple(Entry.from_json(entry) for entry in value["trees"].get(root, [])) for root in ROOTS
        }
        return Manifest({r: t for r, t in trees.items() if t}, value["scannedAt"], value["fuzzy"])
