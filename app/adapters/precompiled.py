"""Byte code of the executor's package: sandboxes show it read-only, so it is made before, or each start takes tens of ms more."""

from __future__ import annotations

import functools
import subprocess
from contextlib import suppress

from app.adapters.bubblewrap import EXECUTOR_FOLDER


@functools.cache
def precompile(python: str) -> None:
    """Compile the package for `python`, once per process; where its folder cannot be written, starts are just slower."""
    command = [python, "-I", "-m", "compileall", "-q", str(EXECUTOR_FOLDER)]
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=60)
