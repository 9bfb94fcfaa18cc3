"""Which journals may go: the oldest of those that are closed and acknowledged to their end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from executor.agents import Agent


def prune(folder: str, known: dict[str, Agent], keep: int) -> None:
    """Delete all but the newest `keep` journals, as far as they are closed and everything in them is acknowledged."""
    names = os.listdir(folder)
    if len(names) <= keep:
        return
    names.sort(key=lambda name: os.stat(os.path.join(folder, name)).st_mtime_ns)
    for name in names[:-keep]:
        agent = known.get(name)
        if agent is None or agent.journal.exit is None or agent.journal.acknowledged < agent.journal.last:
            continue
        forget(folder, known, name)


def forget(folder: str, known: dict[str, Agent], name: str) -> None:
    """Delete one journal that nothing writes to any more."""
    known.pop(name).journal.release()
    discard(folder, name)


def discard(folder: str, name: str) -> None:
    """Delete a journal's files; nobody has it open."""
    path = os.path.join(folder, name)
    for file in os.listdir(path):
        os.unlink(os.path.join(path, file))
    os.rmdir(path)
