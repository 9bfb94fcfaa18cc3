"""A diff file by file: what was made as one patch, by git or by `snapshot_diff`, taken apart again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

LONGEST_PATCH = 256 * 1024
"""Characters of one file's patch; a longer one is left out and the file counts as too large to be shown."""

_HEAD = "diff --git "
_ESCAPE = re.compile(r'\\([0-7]{3}|[abtnvfr"\\])')
_LETTERS = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}


def by_file(diff: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the files of a diff, each `{path, status, additions, deletions, binary, tooLarge, patch?}`. A binary file has no patch but
    its head; one that is `tooLarge`, or was cut off with the whole patch, has none."""
    sections = _sections(str(diff["patch"]), truncated=bool(diff["truncated"]))
    return [_with_patch(file, sections.get(str(file["path"])), bool(diff["truncated"])) for file in diff["files"]]


def _with_patch(file: Mapping[str, Any], patch: str | None, truncated: bool) -> dict[str, Any]:
    too_large = truncated if patch is None else len(patch) > LONGEST_PATCH
    shown = {**file, "binary": file["additions"] is None, "tooLarge": too_large}
    return shown if patch is None or too_large else {**shown, "patch": patch}


def _sections(patch: str, *, truncated: bool) -> dict[str, str]:
    """Return each file's part of a patch by its path. A line of a file never begins with the words of a head: it has a sign before it.
    The last part of a truncated patch may lack its end and is left out."""
    parts = re.split(rf"^(?={_HEAD})", patch, flags=re.MULTILINE)
    whole = [part for part in parts if part.startswith(_HEAD)]
    return {_path(part): part for part in (whole[:-1] if truncated else whole)}


def _path(section: str) -> str:
    """Return the path in a head `diff --git a/PATH b/PATH`: both are the same, since nothing counts as renamed."""
    names = section.partition("\n")[0].removeprefix(_HEAD)
    half = names[: (len(names) - 1) // 2]
    if half.startswith('"'):
        half = _unquoted(half[1:-1])
    return half.removeprefix("a/")


def _unquoted(name: str) -> str:
    """Return a name that git wrote as C writes a string; of UTF-8 it writes the bytes."""

    def byte(match: re.Match[str]) -> str:
        code = match[1]
        return chr(_LETTERS[code] if code in _LETTERS else int(code, 8))

    plain = "".join(chr(each) for each in name.encode("utf-8", "surrogateescape"))
    return _ESCAPE.sub(byte, plain).encode("latin-1").decode("utf-8", "surrogateescape")
