"""An agent without Paddock: its binary on plain pipes, with the command line and the input lines that Paddock gives it."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.events import EventType
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import Launch, Step
from app.ports import Provider, Turn
from tests.contract.providers.pipes import PipeDriver


@dataclass(frozen=True, slots=True)
class BareTurn:
    """Seconds since just before the process was started."""

    first_line: float
    first_delta: float
    ended: float


class BareAgent:
    """One agent's home and workspace; each turn is a process of its own, as each run of Paddock is."""

    def __init__(
        self, provider: Provider, folder: Path, settings: Mapping[str, str] | None = None, model: str | None = None
    ) -> None:
        self._watched = _Watched(provider)
        self._driver = PipeDriver(self._watched, folder)
        self._settings, self._model = dict(settings or {}), model

    def turn(self, prompt: str) -> BareTurn:
        """Take one turn in a conversation of its own; anything but success is an error of the benchmark."""
        ids = (f"run_{uuid.uuid4().hex}", f"ses_{uuid.uuid4().hex}")
        launch = Launch(*ids, 1, prompt, self._model, settings=self._settings)
        began = time.time()
        played = self._driver.play(launch)
        ended = time.time()
        if played.outcome.status != RunStatus.SUCCEEDED:
            raise RuntimeError(f"the bare agent did not succeed: {played.outcome}")
        seen = self._watched.seen
        return BareTurn(seen["out"] - began, seen[EventType.MESSAGE_DELTA] - began, ended - began)


class _Watched:
    """A provider whose turns note when the first record of each kind, and the first event of each type, was there."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.seen: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def begin(self, launch: Launch) -> Turn:
        self.seen = {}
        return _WatchedTurn(self._provider.begin(launch), self.seen)


class _WatchedTurn:
    def __init__(self, turn: Turn, seen: dict[str, float]) -> None:
        self._turn, self._seen = turn, seen

    def step(self, record: Record) -> Step:
        now = time.time()
        step = self._turn.step(record)
        for name in (record.kind, *(kind for kind, _ in step.events)):
            self._seen.setdefault(name, now)
        return step


def turns_per_second(provider: Provider, prompt: str, turns: int, at_once: int) -> float:
    """Take `turns` turns, `at_once` beside each other, each of those in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="pdk-bare-", dir="/tmp") as folder, ThreadPoolExecutor(at_once) as pool:
        agents = [BareAgent(provider, Path(folder) / str(number)) for number in range(at_once)]
        began = time.monotonic()
        lines = [pool.submit(_turns, agent, prompt, turns // at_once) for agent in agents]
        for line in lines:
            line.result()
        return turns / (time.monotonic() - began)


def _turns(agent: BareAgent, prompt: str, count: int) -> None:
    for _ in range(count):
        agent.turn(prompt)
