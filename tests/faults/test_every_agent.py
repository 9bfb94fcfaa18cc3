"""Workers killed while each real agent speaks, asks for an approval, runs a command and asks a question: taken over, the agent started
once, the log as if nobody had died (PROMISES P1)."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from app import db
from app.errors import AppError
from app.models import AgentRun, HumanLoopRequest
from app.ports import ExecutorError
from app.services import human_loop
from tests.faults.kit.checker import Scope, examine
from tests.support.fleet import Fleet, open_fleet
from tests.support.journals import logged, starts_of, stepped_once
from tests.support.model_server import ModelServer
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world, yes

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(3600), pytest.mark.promise("P1")]

PROVIDERS = {"claude-code": "claude-sonnet-4-5", "codex-cli": None, "opencode": "a-model", "acp": "claude-sonnet-4-5"}
MOMENTS = ("text", "approval", "command", "question")
ROUNDS = 13 if LONG else 1
LONGEST_WAIT = 0.5 if LONG else 0.0
"""Seconds between the begin of a moment and the kill; an approval lasts a second before its run is let go."""
PATIENCE = 120.0
PROMPT = (
    "Round {round}. [[gate:{gate}]][[bash:touch began; until [ -e go ]; do sleep 0.1; done; echo once >> done.txt]]"
    "[[ask:Which colour?|Red|Blue]][[text:It is done.]]"
)


def keys(model: ModelServer) -> dict[str, str]:
    anthropic = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "sk-scripted"}
    return {**anthropic, "OPENAI_BASE_URL": f"{model.url}/v1", "OPENAI_API_KEY": "sk-scripted"}


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, model: ModelServer) -> Iterator[World]:
    settings = {name.lower(): value for name, value in keys(model).items()}
    with open_world(
        tmp_path / "var", database_url, redis_url, lease_seconds=2.0, max_attempts=1000, **settings
    ) as world:
        yield world


class Scene:
    """One run of one agent, and what is done to its holders."""

    def __init__(self, world: World, fleet: Fleet, model: ModelServer, place: tuple[str, int]) -> None:
        self._world, self._fleet, self._model = world, fleet, model
        self.provider, number = place
        self._gate = f"{self.provider}-{number}"
        prompt = PROMPT.format(round=number, gate=self._gate)
        more = {"model": PROVIDERS[self.provider]} if PROVIDERS[self.provider] else {}
        self.run_id = world.create(prompt, provider=self.provider, **more).id
        self.kills = self.takeovers = 0

    def play(self) -> None:
        with db.connection():
            self._await("text", lambda: "message.delta" in self._world.types(self.run_id))
            self._kill_holder()
            self._model.open(self._gate)
            self._answer("approval")
            self._await("command", lambda: self._has_file("began"))
            self._kill_holder()
            self._write("go")
            self._answer("question")
            self._await("end", lambda: AgentRun.get_by_id(self.run_id).stream_closed_at)

    def _answer(self, kind: str) -> None:
        asked = (HumanLoopRequest.run_id == self.run_id) & (HumanLoopRequest.kind == kind)
        request = self._await(kind, lambda: HumanLoopRequest.get_or_none(asked, HumanLoopRequest.status == "open"))
        self._kill_holder()
        human_loop.reply(request, yes(request), self._world.user.id, self._world.container.bell)

    def _kill_holder(self) -> None:
        """SIGKILL whoever holds the run, or would take it up; a held run must be taken over before the scene goes on."""
        threading.Event().wait(random.uniform(0, LONGEST_WAIT))  # the random moment of the kill
        run = AgentRun.get_by_id(self.run_id)
        pid = self._fleet.pid_of(run.lease_owner) if run.lease_owner else random.choice(self._fleet.workers).pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        self.kills += 1
        if run.lease_owner:
            self.takeovers += 1
            self._await("a take-over", lambda: AgentRun.get_by_id(self.run_id).epoch > run.epoch)

    def _has_file(self, path: str) -> bool:
        executor = self._world.container.sandboxes.connect(AgentRun.get_by_id(self.run_id).session_id)
        try:
            return executor is not None and executor.read_file(path, offset=0, limit=1) is not None
        except (AppError, ExecutorError):
            return False

    def _write(self, path: str) -> None:
        executor = self._world.container.sandboxes.connect(AgentRun.get_by_id(self.run_id).session_id)
        assert executor is not None
        executor.write_file(path, b"")

    def _await(self, what: str, look: Callable[[], object]) -> HumanLoopRequest:
        return eventually(look, PATIENCE, what=f"{self.provider}: {what}")  # type: ignore[return-value]


def assert_nobody_noticed(world: World, scene: Scene) -> None:
    run = world.run(scene.run_id)
    assert scene.takeovers >= 2, "text and command are always held"
    assert (run.status, run.attempt) == ("succeeded", 1), (scene.provider, run.failure_code, run.failure_message)
    assert starts_of(world.container, run) == 1
    assert logged(run) == stepped_once(world.container, run)
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    assert executor.read_file("done.txt", offset=0, limit=100)[0] == b"once\n"


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_no_agent_notices_that_its_worker_is_killed(world: World, model: ModelServer, figures: Figures) -> None:
    scenes: list[Scene] = []
    with open_fleet(world, 2, PADDOCK_MODEL_PROXY="0", **keys(model)) as fleet, fleet.mending():
        for number in range(ROUNDS):
            mine = [Scene(world, fleet, model, (provider, number)) for provider in PROVIDERS]
            with ThreadPoolExecutor(len(mine)) as stage:
                for played in [stage.submit(scene.play) for scene in mine]:
                    played.result()
            scenes += mine
            for scene in mine:
                assert_nobody_noticed(world, scene)
        verdict = examine(world.container, Scope([scene.run_id for scene in scenes]))
        assert not verdict.wrong, str(verdict)
    for provider in PROVIDERS:
        killed = sum(scene.kills for scene in scenes if scene.provider == provider)
        bar = len(MOMENTS) * ROUNDS
        figures.add(f"workers killed under {provider}", f"{killed}, the agent started once", f">= {bar}", killed >= bar)
