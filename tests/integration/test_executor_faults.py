"""What an executor that fails leaves behind: a reverse proxy in front of a real one injects the failures, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.models import ChatSession, SessionWorker
from app.ports import ExecutorError
from app.services import worker_rows
from tests.support.executor_faults import FaultProxy, in_front_of
from tests.support.world import World, open_world

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {
        "retry_delay_ms": 1.0,
        "stop_grace_seconds": 0.3,
        "executor_retry_delay_ms": 1,
        "executor_max_retries": 2,
    }
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


@pytest.fixture
def session(world: World) -> ChatSession:
    """A session whose sandbox runs."""
    run = world.create("/say hi")
    world.drive()
    return ChatSession.get_by_id(run.session_id)


@pytest.fixture
def proxy(world: World, session: ChatSession) -> Iterator[FaultProxy]:
    with in_front_of(world.container.sandboxes, session.id) as made:
        yield made


def test_a_sync_that_fails_leaves_the_worker_running_and_counts_as_failed(
    world: World, session: ChatSession, proxy: FaultProxy
) -> None:
    workers = world.container.session_workers
    proxy.fail("/workspace/sync", times=-1)
    SessionWorker.update(last_used_at=0).where(SessionWorker.session_id == session.id).execute()
    result = workers.stop_idle(worker_rows.get(session.id).created_at + 1e6)
    row = worker_rows.get(session.id)
    assert (result.checked, result.done, result.failed, row.status) == (1, 0, 1, "running"), (result, row.error)
    assert row.last_sync_status == "failed"
    assert "/workspace/sync" in str(row.last_sync_error)
    assert "(3/3)" in str(row.last_sync_error)
    proxy.clear()
    workers.stop(session.id)
    assert worker_rows.get(session.id).status == "stopped"


@sqlite_only
@pytest.mark.parametrize(("status", "code"), [(500, "sandbox_refused"), (0, "sandbox_lost")])
def test_who_wished_for_a_sync_that_fails_hears_whether_the_sandbox_answered(
    world: World, session: ChatSession, proxy: FaultProxy, status: int, code: str
) -> None:
    workers = world.container.session_workers
    proxy.fail("/workspace/sync", times=-1, status=status)
    workers.wish(session.id, "sync")
    assert workers.grant_wishes() == 1
    row = worker_rows.get(session.id)
    assert (row.status, str(row.wish_error).partition(":")[0]) == ("running", code)


@sqlite_only
@pytest.mark.parametrize("status", [500, 0])
def test_one_passing_failure_of_each_path_goes_unnoticed(
    world: World, session: ChatSession, proxy: FaultProxy, status: int
) -> None:
    paths = [
        "/workspace/sync",
        "/workspace/content",
        "/fence",
        "/agents",
        "/events",
        "/records",
        "/signal",
        "/ack",
        "/health",
    ]
    faults = [proxy.fail(path, status=status) for path in paths]
    run = world.create("/write a.txt one\n/say done", session.id, options={"approval": "all"})
    with world.answering():
        ended = world.drive()
    assert (ended.status, ended.message, ended.attempt, ended.failures) == ("succeeded", "done", 1, 0)
    unused = {fault.path for fault in faults if fault.times}
    assert unused == set(), proxy.asked
    assert "workspace.sync_failed" not in world.types(run.id)


@sqlite_only
def test_an_executor_that_goes_on_failing_is_told_with_path_and_tries(
    world: World, session: ChatSession, proxy: FaultProxy
) -> None:
    executor = world.container.sandboxes.connect(session.id)
    assert executor is not None
    proxy.fail("/workspace/validate", times=3, status=502, body="bad gateway")
    with pytest.raises(ExecutorError) as caught:
        executor.validate(["/workspace/a"])
    told = caught.value.facts()
    assert (told["kind"], told["path"], told["attempt"], told["maxAttempts"], told["status"], told["error"]) == (
        "http", "/workspace/validate", 3, 3, 502, "bad gateway",
    )  # fmt: skip
    assert executor.validate(["/workspace/a"]) == ["/workspace/a"]
