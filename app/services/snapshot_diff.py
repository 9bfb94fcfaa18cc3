"""What changed between two snapshots, as a patch: the same answer that an executor gives of a live workspace (`WorkspaceHost.diff`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from typing import Any

from app.domain.manifest import Entry, Manifest

LONGEST_PATCH = 1024 * 1024
MOST_FILES = 2000
LARGEST_FILE = 1024 * 1024
MOST_LINES = 20_000
"""Above these a file counts as binary: its lines are not compared."""

_ODD = re.compile(r'[\x00-\x1f\x7f"\\]')

Read = Callable[[Entry], bytes]


def diff(old: Manifest, new: Manifest, read_old: Read, read_new: Read) -> dict[str, Any]:
    """Return `{patch, truncated, files: [{path, status, additions, deletions}]}`; `status` is added, modified or deleted, the numbers
    are None for a file that is not text. What lies below `.git` is git's own and left out."""
    files: list[dict[str, Any]] = []
    patch, length, truncated = [], 0, False
    for path, before, after in _changed(old, new):
        if len(files) == MOST_FILES:
            truncated = True
            break
        text, additions, deletions = _file_patch(
            path, _content(before, read_old), _content(after, read_new), before, after
        )
        status = "added" if before is None else "deleted" if after is None else "modified"
        files.append({"path": path, "status": status, "additions": additions, "deletions": deletions})
        truncated = truncated or length + len(text) > LONGEST_PATCH
        if not truncated:
            patch.append(text)
            length += len(text)
    return {"patch": "".join(patch), "truncated": truncated, "files": files}


def _changed(old: Manifest, new: Manifest) -> Iterator[tuple[str, Entry | None, Entry | None]]:
    before, after = _files(old), _files(new)
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one != other:
            yield path, one, other


def _files(manifest: Manifest) -> dict[str, Entry]:
    entries = (entry.bare() for entry in manifest.tree("workspace") if entry.type != "dir")
    return {entry.path: entry for entry in entries if not entry.path.startswith(".git/")}


def _content(entry: Entry | None, read: Read) -> list[str] | None:
    """Return the lines of a file; None where they cannot be compared."""
    if entry is None:
        return []
    if entry.type == "symlink":
        return [str(entry.target)]
    if entry.size > LARGEST_FILE:
        return None
    data = read(entry)
    if b"\0" in data[:8000] or data.count(b"\n") > MOST_LINES:
        return None
    *whole, rest = data.decode("utf-8", "replace").split("\n")
    return [f"{line}\n" for line in whole] + ([rest] if rest else [])


def _file_patch(
    path: str, before: list[str] | None, after: list[str] | None, old: Entry | None, new: Entry | None
) -> tuple[str, int | None, int | None]:
    head = [f"diff --git {_named('a', path)} {_named('b', path)}\n"]
    if old is None and new is not None:
        head.append(f"new file mode {_git_mode(new)}\n")
    elif new is None and old is not None:
        head.append(f"deleted file mode {_git_mode(old)}\n")
    elif old is not None and new is not None and _git_mode(old) != _git_mode(new):
        head.append(f"old mode {_git_mode(old)}\nnew mode {_git_mode(new)}\n")
    names = ("/dev/null" if old is None else _named("a", path), "/dev/null" if new is None else _named("b", path))
    if before is None or after is None:
        return "".join([*head, f"Binary files {names[0]} and {names[1]} differ\n"]), None, None
    body = list(difflib.unified_diff(before, after, *names))
    additions = sum(line.startswith("+") for line in body[2:])
    deletions = sum(line.startswith("-") for line in body[2:])
    return "".join([*head, *map(_ended, body)]), additions, deletions


def _named(side: str, path: str) -> str:
    """Return a name as git has it in a patch: what could be taken for another line is written as C writes a string."""
    name = f"{side}/{path}"
    if not _ODD.search(name):
        return name
    return '"' + _ODD.sub(lambda found: f"\\{ord(found[0]):03o}", name) + '"'


def _git_mode(entry: Entry) -> str:
    if entry.type == "symlink":
        return "120000"
    return "100755" if entry.mode & 0o100 else "100644"


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
