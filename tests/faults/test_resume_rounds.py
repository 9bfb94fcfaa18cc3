"""Conversations of the real Claude Code outlive their sandboxes (P4): frozen, saved, killed and brought back elsewhere at random
moments of a turn, while an approval waits, and between turns. What is called resumable goes on with all that was said.

Lanes go side by side, each with a session of its own; as workers do, each drives whatever run can be claimed. A start of the agent costs
most of a round, and each waits for timers besides.

`PADDOCK_FAULTS_SEED` plays the same choices again.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app import db
from app.domain.run_state import RunStatus
from app.errors import AppError
from app.models import AgentRun, HumanLoopRequest, SessionWorker
from app.ports import EVERY_GENERATION, ExecutorError
from app.services import human_loop, runs
from app.services.snapshots import Order
from app.services.worker_lease import WorkerLeases
from tests.support.model_server import ModelServer
from tests.support.stack import KEY
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.world import World, open_world

pytestmark = [pytest.mark.real_agent, pytest.mark.promise("P4"), pytest.mark.timeout(1800), pytest.mark.slow]

ROUNDS = 100 if LONG else 2
"""On each database."""
LANES = 5 if LONG else 1
ROUNDS_OF_A_SESSION = 5
KEPT_REQUESTS = 500
"""What the model server remembers: many more than the lanes send in a round."""
SEED = os.environ.get("PADDOCK_FAULTS_SEED") or str(random.randrange(10**9))
LONGEST_TURN, LONGEST_WAIT = 1.8, 1.2
"""Seconds within which the moment lies: of a turn, and of an approval that waits."""

TALKING = "The word is {word}. [[text:I begin.]][[slow:15:15]][[bash:echo {word} >> done.txt]][[slow:15:15]]"
ASKING = "The word is {word}. [[text:I ask.]][[bash:echo {word} >> asked.txt]]"


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, model: ModelServer) -> Iterator[World]:
    agent = {"anthropic_base_url": model.url, "anthropic_api_key": KEY, "anthropic_model": "claude-sonnet-4-5"}
    quick = {"retry_delay_ms": 1.0, "executor_retry_delay_ms": 1, "stop_grace_seconds": 0.3}
    patient = {"max_attempts": 1000, "waiting_keep_seconds": 0.0}
    with open_world(tmp_path / "var", database_url, redis_url, **agent, **quick, **patient) as world:
        yield world


@dataclass
class Talk:
    """One session. `words` are what its agent must know; `asked` what was approved in it."""

    world: World
    model: ModelServer
    session: str | None = None
    words: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)

    def say(self, prompt: str, **more: object) -> AgentRun:
        del self.model.requests[:-KEPT_REQUESTS]
        run = self.world.create(prompt, self.session, provider="claude-code", **more)
        self.session = run.session_id
        return run

    def drive(self, run_id: str) -> None:
        """Drive whatever there is until this run needs a person, or has ended."""

        def rests() -> bool:
            run = self.world.run(run_id)
            waits = run.status == RunStatus.WAITING_HUMAN and run.let_go_at is not None
            return run.finished_at is not None or (waits and not runs.list_unapplied(run_id))

        while True:
            claim = self.world.claim()
            if claim is not None:
                self.world.driver(claim).drive()
            elif rests():
                return
            else:
                threading.Event().wait(0.01)  # the delay before the next attempt

    def answer(self, run_id: str) -> None:
        request = HumanLoopRequest.get(HumanLoopRequest.run_id == run_id, HumanLoopRequest.status == "open")
        reply = human_loop.Reply(decision="allow")
        assert not human_loop.reply(request, reply, self.world.user.id, self.world.container.bell).duplicate

    def check(self, run_id: str, word: str) -> None:
        """The run ended well, and the model was told all that the agent was said to know."""
        run = self.world.run(run_id)
        assert run.status == "succeeded", (run.failure_code, run.failure_message)
        started = [event.data["mode"] for event in self.world.events(run_id) if event.type == "context.restored"]
        self.modes.update(started)
        told = [text for call in self.model.calls if word in (text := json.dumps(call.body))][-1]
        if self.words:
            assert set(started) == {"native_resume"}, (started, self.words)
        self.words.append(word)
        lost = [known for known in self.words if known not in told]
        assert not lost, f"{lost} of {self.words} is lost, but it was called {started}"

    def check_asked(self) -> None:
        """What was approved was done once."""
        executor = self.world.container.sandboxes.connect(str(self.session))
        assert executor is not None
        if self.asked:
            assert executor.read_file("asked.txt", offset=0, limit=100_000)[0].decode().split() == self.asked


# --- what becomes of a sandbox -------------------------------------------------------------------------------------------------


def lose_the_machine(world: World, session: str) -> bool:
    """Freeze and save the sandbox wherever its agent is, kill it, and delete its folder. False where it could not be saved."""
    leases = WorkerLeases("nemesis", 30)
    saved = False
    with suppress(AppError), leases.hold(session, wait_seconds=10) as held:
        with suppress(AppError, ExecutorError, OSError):
            host = world.container.sandboxes.connect(session)
            if host is not None:
                host.freeze(True)
                order = Order("stop", frozen=True, guard=held.lease.require)
                saved = bool(world.container.snapshots.save(host, held.worker, order).snapshot_id)
        world.container.sandboxes.remove(session, EVERY_GENERATION)
    return saved


def go_elsewhere(world: World, session: str) -> None:
    """Stop by the book and remove: nothing of the sandbox is left on this machine."""
    before = SessionWorker.get_by_id(session).generation
    if SessionWorker.get_by_id(session).status == "running":
        world.container.session_workers.stop(session)
    world.container.session_workers.remove(session)
    assert not world.container.sandboxes.exists(session)
    world.container.session_workers.activate(session)
    assert SessionWorker.get_by_id(session).generation > before


def between_turns(talk: Talk, word: str, chance: random.Random) -> None:
    run = talk.say(TALKING.format(word=word), options={"approval": "all"})
    talk.drive(run.id)
    talk.check(run.id, word)
    go_elsewhere(talk.world, str(talk.session))


def within_a_turn(talk: Talk, word: str, chance: random.Random) -> None:
    run = talk.say(TALKING.format(word=word), options={"approval": "all"})
    with struck(talk, run.id, lambda: chance.uniform(0, LONGEST_TURN)):
        talk.drive(run.id)
    talk.check(run.id, word)


def while_it_waits(talk: Talk, word: str, chance: random.Random) -> None:
    """At a random moment after the request; before its driver lets go, mostly."""
    run = talk.say(ASKING.format(word=word))

    def asked() -> float:
        eventually(lambda: HumanLoopRequest.select().where(HumanLoopRequest.run_id == run.id).exists())
        return chance.uniform(0, LONGEST_WAIT)

    with struck(talk, run.id, asked):
        talk.drive(run.id)
    allow_what_waits(talk, run.id, word)


def long_after_it_was_let_go(talk: Talk, word: str, chance: random.Random) -> None:
    """Its sandbox is stopped because the person takes long, and then removed."""
    run = talk.say(ASKING.format(word=word))
    talk.drive(run.id)
    eventually(lambda: is_stopped(talk), what="the sandbox of a run that waits for long is stopped")
    talk.world.container.session_workers.remove(str(talk.session))
    assert not talk.world.container.sandboxes.exists(str(talk.session))
    allow_what_waits(talk, run.id, word)
    resolved = [event.data for event in talk.world.events(run.id) if event.type == "human_loop.resolved"]
    assert [data["delivery"] for data in resolved] == ["resumed"]


def is_stopped(talk: Talk) -> bool:
    """Stop whoever has waited for long, as the sweep does; another lane may be at it."""
    talk.world.container.waiting.stop_long(db.now() + 1)
    return bool(SessionWorker.get_by_id(str(talk.session)).status == "stopped")


def allow_what_waits(talk: Talk, run_id: str, word: str) -> None:
    talk.drive(run_id)
    talk.answer(run_id)
    talk.drive(run_id)
    talk.check(run_id, word)
    talk.asked.append(word)
    talk.check_asked()


class struck:  # noqa: N801 - reads as a verb where it is used
    """The sandbox is lost at a moment that `choose` gives, beside the block."""

    def __init__(self, talk: Talk, run_id: str, choose: Callable[[], float]) -> None:
        self._talk, self._run_id, self._choose = talk, run_id, choose
        self._thread = threading.Thread(target=self._strike)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _strike(self) -> None:
        with db.connection():
            threading.Event().wait(self._choose())
            with suppress(AppError):
                lose_the_machine(self._talk.world, str(self._talk.session))


FATES = (long_after_it_was_let_go, within_a_turn, while_it_waits, between_turns)


def play(world: World, model: ModelServer, lane: int) -> tuple[Counter[str], Counter[str]]:
    """Play the rounds of one lane; return which fates there were, and how attempts began."""
    chance, fates, modes = random.Random(f"{SEED}:{lane}"), Counter[str](), Counter[str]()
    with db.connection():
        talk = Talk(world, model)
        for number in range(ROUNDS // LANES):
            fate = FATES[number % len(FATES)] if number < len(FATES) else chance.choice(FATES)
            fates[fate.__name__] += 1
            fate(talk, f"heliotrope{lane}x{number}z", chance)
            if number % ROUNDS_OF_A_SESSION == ROUNDS_OF_A_SESSION - 1:
                modes += talk.modes
                world.container.session_workers.stop(str(talk.session))
                talk = Talk(world, model)
    return fates, modes + talk.modes


@pytest.mark.parametrize("database_url", ["sqlite", "postgres"] if LONG else ["sqlite"], indirect=True)
def test_no_conversation_that_was_called_resumable_is_lost(world: World, model: ModelServer, figures: Figures) -> None:
    print(f"PADDOCK_FAULTS_SEED={SEED}")
    begun, fates, modes = time.monotonic(), Counter[str](), Counter[str]()
    with ThreadPoolExecutor(LANES) as pool:
        for lane in [pool.submit(play, world, model, lane) for lane in range(LANES)]:
            of_lane, started = lane.result()
            fates, modes = fates + of_lane, modes + started
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in fates.items())
    figures.add("rounds with Claude Code", f"{ROUNDS} in {time.monotonic() - begun:.0f} s: {told}")
    figures.add("resumed", f"{modes['native_resume']} starts, {modes['fresh']} fresh ones")
    figures.add("conversations lost", "0", "0", met=modes["native_resume"] > 0)
