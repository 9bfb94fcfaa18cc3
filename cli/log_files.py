"""The files that processes log to: bounded in size, and what the supervisor itself writes into them.

The processes keep their files open, so a file is copied to `.log.1` and then emptied. All write at the end (O_APPEND), so
they go on at the beginning of the empty file; what is written in the instant between the two is lost.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

_CHUNK = 1024 * 1024


def rotate(folder: Path, limit: int) -> list[str]:
    """Empty the logs that have grown beyond `limit` bytes, their text is in `<name>.log.1` then; return their names."""
    grown = [path for path in sorted(folder.glob("*.log")) if _size(path) > limit]
    for path in grown:
        _move_text(path, limit)
    return [path.name for path in grown]


def _move_text(path: Path, limit: int) -> None:
    """Of a file that has outgrown all measure while nobody looked, only the last `limit` bytes are kept."""
    draft = path.with_suffix(".log.1.new")
    try:
        with path.open("r+b") as source, draft.open("wb") as target:
            source.seek(max(0, _size(path) - 2 * limit))
            if source.tell():
                source.readline()
            shutil.copyfileobj(source, target, _CHUNK)
            while rest := source.read(_CHUNK):  # what came meanwhile
                target.write(rest)
            os.ftruncate(source.fileno(), 0)
        draft.replace(path.with_suffix(".log.1"))
    except OSError:  # the disk is full, say: better no old lines than no room
        draft.unlink(missing_ok=True)
        os.truncate(path, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def line(component: str, message: str, facts: Mapping[str, object]) -> bytes:
    """Return a log line in the form of all others (`app.log`), for who does not load the product."""
    moment = time.time()
    at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(moment))}.{int(moment * 1000) % 1000:03d}Z"
    labels = dict.fromkeys(("traceId", "sessionId", "runId", "executorId"))
    told = {"ts": at, "level": "warning", "message": message, "component": component, **labels, **facts}
    return json.dumps(told, default=str).encode() + b"\n"
