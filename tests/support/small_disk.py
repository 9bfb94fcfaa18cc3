"""A real disk that is small enough to be filled: a tmpfs, which root may mount."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_CHUNK = 64 * 1024


@dataclass
class SmallDisk:
    """`folder` is its root; what fills it lies in one file, `filler`."""

    folder: Path

    @property
    def filler(self) -> Path:
        return self.folder / "filler"

    @property
    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self, leave: int = 0) -> None:
        """Write until so much is free; with 0 until the system says that there is no room."""
        with self.filler.open("ab", buffering=0) as file:
            try:
                while leave == 0 or self.free > leave:
                    file.write(b"\0" * (_CHUNK if leave == 0 else min(_CHUNK, max(4096, self.free - leave))))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def make_room(self) -> None:
        self.filler.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one for the length of the block; skips where this user or container may not. (Unit tests of the watermarks need none.)"""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no disk of its own: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
