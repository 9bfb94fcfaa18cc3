"""The scripted agent's two ends: its lines on stdio, and its memory on disk. What it does is in `scripted_agent.py`."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any

Line = dict[str, Any]

FOLDER = ".scripted"


class TurnInterruptedError(Exception):
    """The client asked for the end of the turn."""


class TurnEndedError(Exception):
    """A directive ended the turn; `line` is the `end` line."""

    def __init__(self, **line: Any) -> None:
        super().__init__()
        self.line = line


class Wire:
    """Lines out, lines in; reading never blocks writing for longer than one line."""

    def __init__(self) -> None:
        self.deaf = False
        self.interruptible = False
        self.replies: dict[str, Line] = {}
        self.starts: list[Line] = []
        self.on_steer: Callable[[Line], None] | None = None
        self._rest = b""
        self._interrupted = False

    def send(self, type_: str, **fields: Any) -> None:
        self.tell(type_, **fields)
        self.look(0)

    def tell(self, type_: str, **fields: Any) -> None:
        """Write a line without looking for others."""
        line = json.dumps({"type": type_, **fields}, ensure_ascii=False, separators=(",", ":"))
        self.raw(line.encode("utf-8", "replace") + b"\n")

    def raw(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]

    def look(self, seconds: float | None, also: int | None = None) -> bool:
        """Take in what has arrived, waiting up to `seconds`; True when the file `also` can be read. May raise
        TurnInterruptedError."""
        watched = [0] if also is None else [0, also]
        ready = select.select(watched, [], [], seconds)[0]
        if 0 in ready:
            self._take(os.read(0, 65536))
        if self._interrupted and self.interruptible:
            self.interruptible = self._interrupted = False
            raise TurnInterruptedError
        return also in ready

    def _take(self, data: bytes) -> None:
        if not data:  # the executor is gone, and nobody listens any more
            sys.exit(0)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if line.get("type") == "reply":
                self.replies[line["id"]] = line
            elif line.get("type") == "start":
                self.starts.append(line)
            elif line.get("type") == "steer" and self.on_steer is not None:
                self.on_steer(line)
            elif line.get("type") == "interrupt":
                self._interrupted = not self.deaf


class Transcript:
    """The conversation on disk, one JSON line per fact: the agent's memory, and how far each turn has come."""

    def __init__(self, conversation: str) -> None:
        folder = os.path.join(os.environ.get("HOME", "."), FOLDER)
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, conversation + ".jsonl")
        self.facts: list[Line] = []

    def load(self) -> bool:
        """Read the facts; False where the conversation does not exist. A torn last line is left out."""
        try:
            with open(self.path, encoding="utf-8") as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            return False
        self.facts = [json.loads(line) for line in lines if line]
        return True

    def add(self, **fact: Any) -> None:
        self.facts.append(fact)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(fact, ensure_ascii=False) + "\n")

    def values(self, name: str) -> list[Any]:
        return [fact[name] for fact in self.facts if name in fact]

    def has(self, name: str, run: str, step: int) -> bool:
        return any(fact.get(name) == step and fact.get("run") == run for fact in self.facts)
