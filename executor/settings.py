"""What an executor is told at its start, as one JSON line on its stdin: never in argv or the environment, which its agents could read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from executor import protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    line_bytes: int = protocol.LINE_LIMIT
    segment_bytes: int = protocol.SEGMENT_BYTES
    unacknowledged_bytes: int = protocol.UNACKNOWLEDGED_BYTES
    unread_bytes: int = protocol.UNREAD_BYTES
    idle_seconds: float = protocol.IDLE_SECONDS
    stdin_bytes: int = 64 * 1024 * 1024
    drain_seconds: float = 2.0
    beat_seconds: float = 10.0
    orphan_step_seconds: float = 5.0
    kept_journals: int = 50


@dataclass(frozen=True, slots=True)
class Settings:
    """`listen` is `unix:<path>` or `tcp:<host>:<port>`. `paths` maps paths as the sandbox promises them to where they are, for
    a sandbox that cannot mount them; empty where it can. `mark` (`….<generation>`) is the value of PADDOCK_SANDBOX in all that
    it starts. `own_pids`: the executor's PID namespace holds this sandbox only. `only_peer`: what agents reach of the network, their
    model's `host:port`, or nothing where it is empty; None where there is no fence."""

    token: str
    name: str
    generation: int
    listen: str
    state: str
    workspace: str
    agent: str
    own_pids: bool = False
    orphan_seconds: float = 600.0
    monitor_fd: int | None = None
    mark: str = ""
    only_peer: str | None = None
    paths: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @staticmethod
    def from_line(line: bytes) -> Settings:
        value: dict[str, Any] = json.loads(line)
        limits = Limits(**value.pop("limits", {}))
        return Settings(**value, limits=limits)

    def root(self, name: str) -> str:
        return self.workspace if name == "workspace" else self.agent


class PathMap:
    """Replaces the promised paths (`/workspace`, `/home/agent`, `/opt/paddock/python`, mounts) by real ones in text."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._paths = dict(paths)
        names = "|".join(re.escape(path) for path in sorted(self._paths, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![\w./-])(?:{names})(?![\w.-])") if names else None

    def apply(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._paths[found.group()], text)
