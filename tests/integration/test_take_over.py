"""The driver dropped at every record boundary, and Redis's tail cut there: the log comes out the same (PROMISES P1)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from app.domain.journal import Record, agent_id
from app.domain.run_state import TERMINAL
from app.domain.turn import Intent
from app.models import AgentRun
from app.services.log_check import check
from app.services.run_attempt import Attempt
from tests.support.journals import stepped_once
from tests.support.redis import RedisServer
from tests.support.world import World, open_world

STEPS = 20


class Dropped(Exception):
    """The driver's thread is gone, as if its process had died: it writes nothing more."""


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    # Silent leases would count against the run; here the driver is dropped far more often than any run could bear.
    with open_world(tmp_path / "var", database_url, redis_url, max_attempts=100_000) as world:
        yield world


def drop_at(record: int, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drop the next driver at record number `record`: before it is stepped, with its events written, or with all done."""
    take, carry_out = Attempt.take, Attempt._carry_out

    def dropping_take(self: Attempt, seen: Record) -> bool:
        if stage == "before" and seen.n >= record:
            raise Dropped
        done = take(self, seen)
        if stage == "after" and seen.n >= record:
            raise Dropped
        return done

    def dropping_carry_out(self: Attempt) -> None:
        if stage == "written" and self.position >= record:
            raise Dropped
        carry_out(self)

    monkeypatch.setattr(Attempt, "take", dropping_take)
    monkeypatch.setattr(Attempt, "_carry_out", dropping_carry_out)


def cut_tail(client: Redis, run_id: str, entries: int) -> None:
    """Take the newest entries from the stream, as a Redis that lost the end of its file would have it."""
    key = f"paddock:run:{run_id}:events"
    kept = client.xrange(key)[: -entries or None]
    client.delete(key)
    for entry_id, fields in kept:
        client.xadd(key, fields, id=entry_id)


def drive_to_the_end(world: World, run: AgentRun, interrupt: Callable[[int], None]) -> int:
    """Drive with a new holder each time the last one was dropped; returns how many there were."""
    holders = 0
    while world.run(run.id).status not in TERMINAL:
        world.expire_lease(run.id)
        claim = world.claim()
        assert claim is not None
        interrupt(holders)
        holders += 1
        with contextlib.suppress(Dropped):
            world.driver(claim).drive()
    return holders


def assert_log_is_right(world: World, run: AgentRun) -> None:
    run = world.run(run.id)
    assert (run.status, run.attempt) == ("succeeded", 1)
    events = world.events(run.id)
    assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
    made = [(event.type, event.data, event.src) for event in events if event.record is not None]
    assert made == stepped_once(world.container, run)
    own = [event.type for event in events if event.record is None and event.type != "run.status"]
    for kind in ("run.started", "run.finished", "run.closed"):
        assert own.count(kind) == 1
    statuses = [event.data["status"] for event in events if event.type == "run.status"]
    asked = ["waiting_human", "running"] * STEPS
    assert statuses == ["queued", "claimed", "running", *asked, "succeeded"]
    assert check(run.id, world.container.stream) == []


@pytest.mark.promise("P1")
@pytest.mark.parametrize(
    ("database_url", "stage"),
    [("sqlite", "before"), ("sqlite", "written"), ("sqlite", "after"), ("postgres", "after")],
    indirect=["database_url"],
)
def test_the_log_is_the_same_whichever_record_the_driver_is_dropped_at(
    world: World, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.create(f"/steps {STEPS}")

    def interrupt(holder: int) -> None:
        with monkeypatch.context():
            monkeypatch.undo()
        drop_at(holder + 1, stage, monkeypatch)

    with world.answering():
        holders = drive_to_the_end(world, run, interrupt)
    assert holders > STEPS * 4
    assert_log_is_right(world, run)


def test_the_log_is_the_same_wherever_redis_loses_its_tail(
    world: World, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.create(f"/steps {STEPS}")

    def interrupt(holder: int) -> None:
        monkeypatch.undo()
        drop_at(holder + 1, "after", monkeypatch)
        cut_tail(redis.client(), run.id, 1 + holder % 7)

    with world.answering():
        drive_to_the_end(world, run, interrupt)
    assert_log_is_right(world, run)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("stage", ["commanded", "told to the adapter", "stepped", "delivered"])
def test_an_answer_is_delivered_once_wherever_its_driver_is_dropped(
    world: World, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.create("/write a.txt x")
    dropped: list[str] = []

    def interrupt(holder: int) -> None:
        monkeypatch.undo()
        if holder == 0:
            drop_answer(stage, monkeypatch, dropped)

    with world.answering():
        assert drive_to_the_end(world, run, interrupt) == 2
    assert dropped == [stage]
    assert world.run(run.id).status == "succeeded"
    replies = [record for record in journal_of(world, run) if record.kind == "in" and "reply:" in (record.key or "")]
    assert len(replies) == 1
    assert world.types(run.id).count("human_loop.resolved") == 1
    assert [event.data["status"] for event in world.events(run.id) if event.type == "tool.result"] == ["ok"]


def drop_answer(stage: str, monkeypatch: pytest.MonkeyPatch, dropped: list[str]) -> None:
    """Drop the driver at an answer: its command read, in the journal, its delivery intended, or delivered; each but not noted."""
    control, act = Attempt.control, Attempt._act

    def drop(here: str) -> None:
        if here == stage:
            dropped.append(stage)
            raise Dropped

    def dropping_control(self: Attempt, key: str, payload: Mapping[str, Any]) -> None:
        if key.startswith("answer:"):
            drop("commanded")
        control(self, key, payload)
        if key.startswith("answer:"):
            drop("told to the adapter")

    def dropping_act(self: Attempt, intent: Intent) -> None:
        if intent.key.startswith("reply:"):
            drop("stepped")
        act(self, intent)
        if intent.key.startswith("reply:"):
            drop("delivered")

    monkeypatch.setattr(Attempt, "control", dropping_control)
    monkeypatch.setattr(Attempt, "_act", dropping_act)


def journal_of(world: World, run: AgentRun) -> list[Record]:
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    return list(executor.follow(agent_id(run.id, world.run(run.id).attempt), 0))
