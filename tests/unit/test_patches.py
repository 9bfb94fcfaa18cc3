"""A patch taken apart by file, and what the bytes of a file are."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from app.domain import media
from app.domain.manifest import Entry, Manifest
from app.services import patches, snapshot_diff

ODD = [
    "plain.txt",
    "a b/c.txt",
    'quo"te',
    "new\nline",
    "tab\t",
    "back\\slash",
    "ä/ü.txt",
    "b/a b/x",
    "x\ndiff --git a/y b/y",
]
TEXT = "one\ndiff --git a/evil b/evil\n--- a/evil\n"


def by_git(folder: Path) -> dict[str, Any]:
    """Return the diff of new files with these names, as an executor gives it."""
    git = ["git", "-c", "core.quotePath=false", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    for name in ODD:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TEXT)
    subprocess.run([*git, "add", "--intent-to-add", "."], check=True)
    patch = subprocess.run([*git, "diff", "--no-renames", "--patch"], check=True, capture_output=True).stdout.decode()
    files = [{"path": name, "status": "added", "additions": 3, "deletions": 0} for name in ODD]
    return {"patch": patch, "truncated": False, "files": files}


def by_snapshots(contents: dict[str, bytes]) -> dict[str, Any]:
    entries = tuple(Entry(path, "file", 0o644, len(data), sha256=path) for path, data in sorted(contents.items()))
    new = Manifest({"workspace": entries}, 0.0)
    return snapshot_diff.diff(Manifest({"workspace": ()}, 0.0), new, lambda entry: b"", lambda e: contents[e.path])


@pytest.mark.parametrize("made_by", ["git", "snapshots"])
def test_each_file_gets_its_own_part_whatever_its_name_and_its_lines(made_by: str, tmp_path: Path) -> None:
    diff = by_git(tmp_path) if made_by == "git" else by_snapshots({name: TEXT.encode() for name in ODD})

    found = {file["path"]: file for file in patches.by_file(diff)}

    assert sorted(found) == sorted(ODD)
    for file in found.values():
        assert file["patch"].count("\ndiff --git") == 0
        assert "+one\n+diff --git a/evil b/evil\n+--- a/evil\n" in file["patch"]
        assert (file["binary"], file["tooLarge"]) == (False, False)
    assert sorted("".join(file["patch"] for file in found.values())) == sorted(diff["patch"])


def test_what_is_binary_or_too_large_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "LONGEST_PATCH", 500)
    diff = by_snapshots({"a.bin": b"\0", "b.txt": b"line\n" * 200, "c.txt": b"x\n"})

    shown = {file["path"]: (file["binary"], file["tooLarge"], "patch" in file) for file in patches.by_file(diff)}

    assert shown == {"a.bin": (True, False, True), "b.txt": (False, True, False), "c.txt": (False, False, True)}


def test_the_part_at_which_a_patch_was_cut_is_left_out() -> None:
    diff = by_snapshots({"a.txt": b"x\n", "b.txt": b"y\n", "c.txt": b"z\n"})
    cut = {**diff, "patch": diff["patch"][: diff["patch"].index("+y")], "truncated": True}

    shown = {file["path"]: (file["tooLarge"], "patch" in file) for file in patches.by_file(cut)}

    assert shown == {"a.txt": (False, True), "b.txt": (True, False), "c.txt": (True, False)}


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"RIFF\x00\x00\x00\x00WAVE", None),
        (b"%PDF-1.7", "application/pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", None),
        (b"<!doctype html>", None),
        (b"", None),
    ],
)
def test_only_pictures_and_pdf_are_shown_and_by_their_bytes_alone(beginning: bytes, kind: str | None) -> None:
    assert media.shown_type(beginning) == kind


@pytest.mark.parametrize(
    ("part", "is_text"),
    [
        (b"", True),
        (b"plain\n", True),
        ("日本語".encode(), True),
        ("日本語".encode()[1:-1], True),
        (b"a\0b", False),
        (b"\xff\xfe\x00a", False),
        (b"text \xff more", False),
        (("x" * 7999 + "ü").encode(), True),
    ],
)
def test_a_part_of_a_file_is_text_or_not(part: bytes, is_text: bool) -> None:
    assert media.is_text(part) is is_text
