"""What is deleted with time: never what somebody may still want, never anything that a kept snapshot names, by two at once or one
that is cut off as well."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import db, ids
from app.errors import Unavailable
from app.models import (
    AgentRun,
    ChatSession,
    IdempotencyKey,
    LoginLink,
    RunEvent,
    SessionWorker,
    Snapshot,
    WebhookDelivery,
    WebSession,
    WorkerProcess,
)
from app.services import expiry, idempotency, identity, worker_processes
from app.services.log_check import check
from app.services.retention import DAY_SECONDS, Retention
from app.services.run_blobs import LONGEST_OUTPUT
from tests.support.world import World, open_world

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ALL = {"approval": "all"}
DAYS = 30.0


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    with open_world(tmp_path / "var", database_url, redis_url, retention_days=DAYS, idle_seconds=0.0) as world:
        yield world


def worked(world: World, *prompts: str) -> str:
    """Let a session do this, save after each message, and stop its sandbox; return its id."""
    session_id = None
    for prompt in prompts:
        run = world.create(prompt, session_id, options=ALL)
        session_id = run.session_id
        assert world.drive().status == "succeeded"
    assert session_id is not None
    world.container.session_workers.stop(session_id, wait_seconds=5)
    return session_id


def age(session_id: str, days: float = DAYS + 1) -> None:
    """As if all of it had been so long ago."""
    by = days * DAY_SECONDS
    ChatSession.update(updated_at=ChatSession.updated_at - by).where(ChatSession.id == session_id).execute()
    AgentRun.update(finished_at=AgentRun.finished_at - by).where(AgentRun.session_id == session_id).execute()
    Snapshot.update(created_at=Snapshot.created_at - by).where(Snapshot.session_id == session_id).execute()


def sweep(world: World, **overrides: Any) -> dict[str, int]:
    retention = Retention(world.settings, overrides.get("snapshots", world.container.snapshots))
    return dict(retention.sweep(db.now()))


def blobs(world: World, session_id: str) -> set[str]:
    return world.container.snapshots.stored_hashes(world.user.tenant_id, session_id)


def is_whole(world: World, session_id: str) -> bool:
    """Every snapshot that there is can be restored to its last byte."""
    rows = list(Snapshot.select().where(Snapshot.session_id == session_id))
    return bool(rows) and not any(world.container.snapshots.missing_objects(row) for row in rows)


LONG = f"/write a.txt one\n/run head -c {LONGEST_OUTPUT + 100} /dev/zero | tr '\\0' x"


def test_a_long_unused_session_keeps_its_newest_snapshot_and_its_final_texts(world: World) -> None:
    session_id = worked(world, LONG, "/write a.txt two\n/say second", "/write b.txt three\n/say third")
    before, snapshots = blobs(world, session_id), Snapshot.select().count()
    assert sweep(world)["sessions"] == 0  # nothing is old yet
    age(session_id)
    did = sweep(world)
    assert did["failed"] == 0
    assert did["logs"] == 3
    assert did["snapshots"] == snapshots - Snapshot.select().count() > 0
    assert RunEvent.select().count() == 0
    messages = [run.message for run in AgentRun.select().order_by(AgentRun.session_seq)]
    assert messages[1:] == ["second", "third"]
    newest = SessionWorker.get_by_id(session_id).snapshot_id
    assert Snapshot.get_by_id(newest) is not None
    assert is_whole(world, session_id)
    assert blobs(world, session_id) < before
    assert sweep(world) == {"sessions": 0, "logs": 0, "snapshots": 0, "objects": 0, "failed": 0}
    again = world.create("/run cat a.txt b.txt", session_id, options=ALL)  # it goes on with all of its files
    assert world.drive().status == "succeeded"
    outputs = [event.data["output"] for event in world.events(again.id) if event.type == "tool.result"]
    assert outputs == ["two\nthree\n"]
    assert check(again.id, world.container.stream) == []


@sqlite_only
@pytest.mark.parametrize("reason", ["used lately", "open run", "sandbox runs", "stream open", "off"])
def test_what_may_still_be_wanted_stays(world: World, reason: str) -> None:
    session_id = worked(world, LONG, "/write a.txt two")
    age(session_id)
    if reason == "used lately":
        ChatSession.update(updated_at=db.now()).execute()
    elif reason == "open run":
        world.create("later", session_id)
        ChatSession.update(updated_at=1.0).execute()
    elif reason == "sandbox runs":
        world.container.session_workers.activate(session_id)
    elif reason == "stream open":
        AgentRun.update(stream_closed_at=None).execute()
        Snapshot.update(created_at=db.now()).execute()
    settings = world.settings.model_copy(update={"retention_days": None}) if reason == "off" else world.settings
    events, held = RunEvent.select().count(), blobs(world, session_id)
    assert Retention(settings, world.container.snapshots).sweep(db.now())["logs"] == 0
    assert RunEvent.select().count() == events
    assert blobs(world, session_id) == held
    assert is_whole(world, session_id)


@sqlite_only
def test_an_archived_session_is_thinned_by_when_it_was_archived(world: World) -> None:
    session_id = worked(world, "/write a.txt one")
    age(session_id)
    ChatSession.update(updated_at=db.now(), archived_at=db.now()).execute()
    assert sweep(world)["logs"] == 0
    ChatSession.update(archived_at=db.now() - (DAYS + 1) * DAY_SECONDS).execute()
    assert sweep(world)["logs"] == 1


@sqlite_only
def test_a_run_that_is_kept_keeps_its_long_outputs(world: World) -> None:
    session_id = worked(world, "/say old", LONG)
    age(session_id)
    AgentRun.update(finished_at=db.now()).where(AgentRun.session_seq == 2).execute()
    assert sweep(world)["logs"] == 1
    named = [e.data["blobId"] for e in RunEvent.select() if e.type == "tool.result" and e.data.get("blobId")]
    assert named
    assert set(named) <= blobs(world, session_id)
    assert is_whole(world, session_id)


def test_two_at_once_and_one_that_is_cut_off_do_no_harm(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = worked(world, LONG, "/write a.txt two", "/write a.txt three")
    age(session_id)
    store, deleted = world.container.store, []

    def cut_off(key: str) -> None:
        if len(deleted) == 2:
            raise Unavailable("store_unavailable", "gone")
        deleted.append(key)
        real(key)

    real = store.delete
    with monkeypatch.context() as planted:
        planted.setattr(store, "delete", cut_off)
        assert sweep(world)["failed"] == 1
    assert RunEvent.select().count() > 0
    assert not world.container.snapshots.missing_objects(
        Snapshot.get_by_id(SessionWorker.get_by_id(session_id).snapshot_id)
    )
    results: list[dict[str, int]] = []

    def one() -> None:
        with db.connection():
            results.append(sweep(world))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each["logs"] for each in results) == 3
    assert sum(each["failed"] for each in results) == 0
    assert is_whole(world, session_id)


# --- what has had its time -----------------------------------------------------------------------------------------------


def test_what_has_had_its_time_is_deleted_and_nothing_else(world: World) -> None:
    now, day = db.now(), DAY_SECONDS
    for number, created in enumerate((now, now - day - 10)):
        key = idempotency.Key(world.user.tenant_id, world.user.id, "POST /x", f"k{number}", "hash")
        idempotency.take(key)
        IdempotencyKey.update(created_at=created).where(IdempotencyKey.idem_key == f"k{number}").execute()
    for expires in (now + 60, now - 2 * day):
        link = identity.create_login_link(world.user)
        session = identity.log_in_by_link(identity.create_login_link(world.user).value)
        LoginLink.update(expires_at=expires).where(LoginLink.id == link.id).execute()
        WebSession.update(expires_at=expires - 6 * day).where(WebSession.id == session.id).execute()
    WebSession.update(expires_at=now).where(WebSession.expires_at > now - 7 * day).execute()
    for number, (next_at, created) in enumerate(((None, now), (now, now - 40 * day), (None, now - 40 * day))):
        WebhookDelivery.insert(
            id=ids.new_id("whd"),
            tenant_id=world.user.tenant_id,
            subject=f"s{number}",
            target="webhook",
            type="t",
            payload={},
            next_at=next_at,
            created_at=created,
        ).execute()
    for name in ("alive", "gone"):
        worker_processes.register(name, "runs")
    WorkerProcess.update(seen_at=now - 7200).where(WorkerProcess.name == "gone").execute()
    did = expiry.expire(world.settings)
    once = {"idempotency_keys": 1, "login_links": 1, "web_sessions": 1, "webhook_deliveries": 1, "worker_processes": 1}
    assert dict(did) == once
    assert set(expiry.expire(world.settings).values()) == {0}
    assert [row.idem_key for row in IdempotencyKey.select()] == ["k0"]
    assert {row.subject for row in WebhookDelivery.select()} == {"s0", "s1"}
    assert [row.name for row in WorkerProcess.select()] == ["alive"]


@sqlite_only
def test_a_pass_takes_up_a_bounded_number(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "BATCH", 3)
    for number in range(7):
        idempotency.take(idempotency.Key(world.user.tenant_id, world.user.id, "POST /x", f"k{number}", "hash"))
    for number in range(7):
        old = db.now() - 2 * DAY_SECONDS + number
        IdempotencyKey.update(created_at=old).where(IdempotencyKey.idem_key == f"k{number}").execute()
    passes = [expiry.expire(world.settings)["idempotency_keys"] for _ in range(4)]
    assert passes == [3, 3, 1, 0]
