"""The manifest of a snapshot: what a workspace (and the agent's own state) held, by content. ARCHITECTURE decision 10."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.domain.paths import WORKSPACE, path_outside
from app.errors import Invalid

Root = Literal["workspace", "agent"]
ROOTS: tuple[Root, ...] = ("workspace", "agent")

RACY_SECONDS = 2.0
"""A file whose ctime is this close to its scan may have been written again within one tick of the clock: its stamp proves nothing."""

WORTHLESS_AGENT_DATA = (".cache", ".npm", ".bun", ".yarn", ".cargo/registry", ".rustup", ".nvm", "go/pkg")
"""Folders of the agent's HOME that programs fill again by themselves. Never anything that holds a conversation."""

_MOST_LINKS = 40
_SHA256 = re.compile(r"[0-9a-f]{64}")


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

    def bare(self) -> Entry:
        """Return it without what only tells how it was scanned."""
        return replace(self, stamp=None, unstable=False)


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

    def tree(self, root: Root) -> tuple[Entry, ...]:
        return self.trees.get(root, ())

    def find(self, root: Root, path: str) -> Entry | None:
        """Return the entry at `path` with every symlink on the way followed; None where there is none, Invalid `path_outside`
        where a link leaves the tree."""
        by_path = {entry.path: entry for entry in self.tree(root)}
        for _ in range(_MOST_LINKS):
            link = next(
                (e for part in [*_parents(path), path] if (e := by_path.get(part)) and e.type == "symlink"), None
            )
            if link is None:
                return by_path.get(path)
            path = _follow(link, path[len(link.path) :])
        return None

    def is_empty(self) -> bool:
        return not any(self.trees.values())

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

    def files_changed_since(self, older: Manifest) -> int:
        """Return how many files and links of the workspace were added, changed or removed: what a person calls a changed file. The
        agent's own state and folders do not count."""
        mine, others = ({e.path: e.bare() for e in each.tree("workspace") if e.type != "dir"} for each in (self, older))
        return sum(mine.get(path) != others.get(path) for path in mine.keys() | others.keys())

    def only(self, roots: tuple[Root, ...]) -> Manifest:
        return replace(self, trees={root: self.tree(root) for root in roots})

    def worth_keeping(self) -> Manifest:
        """Return it without the worthless part of the agent's data."""
        kept = tuple(entry for entry in self.tree("agent") if not _is_worthless(entry.path))
        return replace(self, trees={**self.trees, "agent": kept}) if "agent" in self.trees else self

    def without_racy_stamps(self) -> Manifest:
        """Return it with the stamps that prove nothing made to fit no file, so that the next scan hashes those files again; their
        mtime stays, for a restore."""
        limit = (self.scanned_at - RACY_SECONDS) * 1e9

        def settled(entry: Entry) -> Entry:
            if entry.stamp is None or entry.stamp[2] <= limit:
                return entry
            size, mtime, _, inode = entry.stamp
            return replace(entry, stamp=(size, mtime, 0, inode))

        return replace(self, trees={root: tuple(map(settled, entries)) for root, entries in self.trees.items()})

    def check(self) -> None:
        """Raise Invalid `manifest_unsafe` unless every entry stays inside its root and is whole. A manifest comes from a
        sandbox or a store, so nothing of it is believed."""
        for root, entries in self.trees.items():
            if root not in ROOTS:
                raise _unsafe(root)
            by_path: dict[str, Entry] = {}
            for entry in entries:
                if entry.path in by_path or not _is_whole(entry):
                    raise _unsafe(entry.path)
                by_path[entry.path] = entry
            for path in by_path:
                for parent in _parents(path):
                    if parent in by_path and by_path[parent].type != "dir":
                        raise _unsafe(path)

    def _content(self) -> dict[Root, tuple[Entry, ...]]:
        return {r: tuple(sorted((e.bare() for e in t), key=_by_path)) for r, t in self.trees.items() if t}

    def _stamped(self) -> dict[Root, tuple[Entry, ...]]:
        return {
            r: tuple(replace(e, unstable=False) for e in sorted(t, key=_by_path)) for r, t in self.trees.items() if t
        }

    def as_json(self) -> dict[str, Any]:
        trees = {root: [entry.as_json() for entry in entries] for root, entries in self.trees.items()}
        return {"format": 1, "scannedAt": self.scanned_at, "fuzzy": self.fuzzy, "trees": trees}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Manifest:
        """A root that is there and empty stays there: restoring it empties the tree."""
        given: Mapping[str, list[dict[str, Any]]] = value["trees"]
        trees: dict[Root, tuple[Entry, ...]] = {
            root: tuple(Entry.from_json(entry) for entry in given[root]) for root in ROOTS if root in given
        }
        return Manifest(trees, value["scannedAt"], value["fuzzy"])


NOTHING = Manifest({"workspace": (), "agent": ()}, 0.0, fuzzy=False)
"""Two empty trees: what a new session has."""


def _by_path(entry: Entry) -> str:
    return entry.path


def _is_worthless(path: str) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in WORTHLESS_AGENT_DATA)


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for length in range(1, len(parts)):
        yield "/".join(parts[:length])


def _follow(link: Entry, rest: str) -> str:
    """Return the path that `link` + `rest` leads to."""
    target = str(link.target)
    if target == WORKSPACE or target.startswith(WORKSPACE + "/"):
        parts, target = [], target[len(WORKSPACE) :]
    elif target.startswith("/"):
        raise path_outside()
    else:
        parts = link.path.split("/")[:-1]
    for part in (target + rest).split("/"):
        if part == "..":
            if not parts:
                raise path_outside()
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _is_whole(entry: Entry) -> bool:
    parts = entry.path.split("/")
    if "\0" in entry.path or any(part in ("", ".", "..") for part in parts) or not 0 <= entry.mode <= 0o7777:
        return False
    if entry.type == "file":
        return entry.size >= 0 and entry.sha256 is not None and _SHA256.fullmatch(entry.sha256) is not None
    if entry.sha256 is not None:
        return False
    if entry.type == "symlink":
        return bool(entry.target) and "\0" not in str(entry.target)
    return entry.type == "dir"


def _unsafe(path: str) -> Invalid:
    return Invalid(
        "manifest_unsafe",
        f"The manifest names something that cannot be restored safely: {path!r}.",
        remedy="Restore an older snapshot; this one was damaged or tampered with.",
    )
