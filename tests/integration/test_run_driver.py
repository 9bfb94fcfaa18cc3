"""Driving runs of the scripted provider through real executors: endings, retries, stops, questions, memory."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.domain.journal import agent_id
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.errors import Unavailable
from app.models import AgentRun, ChatSession, HumanLoopRequest, RunCommand, SessionWorker, Todo, UsageLog
from app.ports import EVERY_GENERATION, ExecutorError
from app.services import human_loop, run_driver, worker_rows
from app.services.event_log import RunLog
from app.services.log_check import check
from app.services.run_attempt import now_draft
from app.services.run_creation import add_command
from app.services.waiting_reason import waiting_for
from tests.support.waiting import eventually
from tests.support.world import World, driven, open_world


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def finished(world: World, run: AgentRun) -> AgentRun:
    return eventually(lambda: (row := world.run(run.id)).finished_at and row, what="the run ends")


def stop(world: World, run: AgentRun) -> None:
    with db.transaction():
        add_command(run.tenant_id, run.id, "stop", "stop", {"by": world.user.id, "reason": "test"})
    world.container.bell.ring_command(run.id)


def processes_of(world: World, run: AgentRun) -> list[str]:
    """Return the command lines of what runs in the sandbox beside its executor."""
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    result = executor.execute("ps -eo args= 2>/dev/null || cat /proc/[0-9]*/cmdline", cwd="/workspace", timeout_ms=5000)
    return [line for line in result.stdout.splitlines() if "scripted_agent" in line]


def test_a_run_goes_from_message_to_saved_files(world: World) -> None:
    run = world.create("/todo [>] write; check\n/write out/hello.txt hi\n/usage 10 5 0.25\n/say done")
    with world.answering():
        run = world.drive()
    assert (run.status, run.message, run.attempt) == ("succeeded", "done", 1)
    assert Todo.get_by_id(run.id).items[0]["status"] == "in_progress"
    log = UsageLog.get_by_id(run.id)
    assert (log.input, log.output, log.cost_usd) == (10, 5, 0.25)
    types = world.types(run.id)
    assert types[:2] == ["run.status", "run.status"]
    assert types[-2:] == ["run.finished", "run.closed"]
    assert types.count("workspace.synced") >= 1
    worker = SessionWorker.get_by_id(run.session_id)
    assert worker.last_sync_status == "succeeded"
    newest = world.container.snapshots.newest(run.session_id)
    assert newest is not None
    manifest = world.container.snapshots.manifest(newest)
    assert "out/hello.txt" in {entry.path for root, entry in manifest.entries() if root == "workspace"}


def test_a_denied_effect_does_not_happen_and_the_agent_goes_on(world: World) -> None:
    run = world.create("/write no.txt secret\n/say went on")
    with world.answering(lambda request: human_loop.Reply(decision="deny", message="not today")):
        run = world.drive()
    assert (run.status, run.message) == ("succeeded", "went on")
    results = [event.data["status"] for event in world.events(run.id) if event.type == "tool.result"]
    assert results == ["denied"]
    executor = world.container.sandboxes.connect(run.session_id)
    assert executor is not None
    assert [entry["path"] for entry in executor.tree("workspace", "")] == []


def test_a_question_is_answered_in_the_persons_words(world: World) -> None:
    run = world.create("/ask Which colour? | Red | Blue")
    with world.answering(lambda request: human_loop.Reply(answers={request.questions[0]["id"]: ["Blue"]})):
        run = world.drive()
    assert "Blue" in (run.message or "")
    request = HumanLoopRequest.get(HumanLoopRequest.run_id == run.id)
    assert (request.status, request.delivery) == ("answered", "live")
    assert request.delivered_at is not None


@sqlite_only
def test_a_stop_before_the_claim_cancels_at_once(world: World) -> None:
    run = world.create("/sleep 60")
    stop(world, run)
    assert world.drive().status == "canceled"
    assert "run.started" not in world.types(run.id)


@sqlite_only
@pytest.mark.parametrize("prompt", ["/sleep 60", "/run sleep 60", "/deaf\n/sleep 60", "/approve wait", "/slow 2000 20"])
def test_a_stop_ends_a_run_whatever_it_is_doing(world: World, prompt: str) -> None:
    run = world.create(prompt, options={"approval": "ask" if "approve" in prompt else "all"})
    with driven(world):
        if "approve" in prompt:
            eventually(lambda: world.run(run.id).status == RunStatus.WAITING_HUMAN)
        elif "slow" in prompt:
            eventually(lambda: world.run(run.id).last_seq > 8)
        else:
            eventually(lambda: world.run(run.id).status == RunStatus.RUNNING)
        stop(world, run)
        run = finished(world, run)
    assert run.status == "canceled"
    assert HumanLoopRequest.select().where(HumanLoopRequest.closed_at.is_null()).count() == 0
    assert RunCommand.select().where(RunCommand.applied_seq.is_null()).count() == 0
    assert processes_of(world, run) == []


@sqlite_only
def test_a_stop_does_not_wait_for_a_sandbox_that_another_operation_holds(world: World) -> None:
    run = world.create("/say never")
    worker_rows.ensure(ChatSession.get_by_id(run.session_id))
    held = worker_rows.take_lease(run.session_id, "another", 600)
    assert held is not None
    with driven(world):
        eventually(lambda: world.run(run.id).status == RunStatus.CLAIMED)
        stop(world, run)
        assert finished(world, run).status == "canceled"
    assert worker_rows.get(run.session_id).lease_owner == "another"
    assert "run.started" not in world.types(run.id)


@sqlite_only
def test_interrupt_stops_the_run_in_progress_and_then_runs(world: World) -> None:
    first = world.create("/sleep 60")
    with driven(world):
        eventually(lambda: world.run(first.id).status == RunStatus.RUNNING)
        second = world.create("hello", first.session_id, on_busy="interrupt")
        assert finished(world, second).status == "succeeded"
    assert world.run(first.id).status == "canceled"


@sqlite_only
def test_a_retryable_failure_is_tried_again_and_succeeds(world: World) -> None:
    run = world.create("/write a.txt one\n/fail transport_error 1\n/say recovered")
    with world.answering(), driven(world):
        run = finished(world, run)
    assert (run.status, run.attempt, run.failures, run.message) == ("succeeded", 2, 1, "recovered")
    modes = [event.data["mode"] for event in world.events(run.id) if event.type == "context.restored"]
    assert modes == ["fresh", "native_resume"]
    assert HumanLoopRequest.select().where(HumanLoopRequest.run_id == run.id).count() == 1  # nothing was asked twice


@sqlite_only
def test_attempts_are_bounded_and_the_last_failure_is_kept(world: World) -> None:
    run = world.create("/fail transport_error")
    with driven(world):
        run = finished(world, run)
    assert (run.status, run.attempt, run.failures) == ("failed", 3, 3)
    assert (run.failure_code, run.failure_class) == ("transport_error", "tool_issue")
    assert run.remedy


@sqlite_only
def test_what_cannot_be_helped_is_not_tried_again(world: World) -> None:
    run = world.create("/fail auth_missing")
    assert (world.drive().status, world.run(run.id).attempt) == ("failed", 1)


@sqlite_only
def test_a_run_that_works_longer_than_its_budget_is_ended_and_waiting_does_not_count(world: World) -> None:
    patient = world.create("/approve go on?\n/say done", options={"budget": {"maxSeconds": 2}})
    endless = world.create("/sleep 60", options={"budget": {"maxSeconds": 0.5}})
    with driven(world):
        run = finished(world, endless)
        assert (run.status, run.failure_code, run.attempt) == ("failed", "budget_exceeded", 1)
        eventually(lambda: db.now() - world.run(patient.id).created_at > 2.5)
        world.answer(lambda request: human_loop.Reply(decision="allow"))
        assert finished(world, patient).status == "succeeded"


@sqlite_only
def test_an_executor_that_dies_each_time_makes_the_run_poison(world: World) -> None:
    run = world.create("/say hi\n/sleep 60")
    killed: set[int] = set()

    def kill_executor() -> None:
        executor = world.container.sandboxes.connect(run.session_id)
        if executor is None or world.run(run.id).status != RunStatus.RUNNING:
            return
        agent = executor.find_agent(agent_id(run.id, world.run(run.id).attempt))
        if agent is not None and agent.running:
            path = world.settings.root / "sandboxes" / run.session_id / "sandbox.json"
            pid = json.loads(path.read_text(encoding="utf-8"))["executor_pid"]
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    with driven(world):
        eventually(lambda: kill_executor() or world.run(run.id).finished_at, 60, ignore=(ExecutorError,))
    run = world.run(run.id)
    assert (run.status, run.failure_code, len(killed)) == ("failed", "poison", 3)


@sqlite_only
def test_a_missing_capability_blocks_the_run_and_says_what_to_do(world: World) -> None:
    run = world.create("hello", required=("images",))
    run = world.drive()
    assert (run.status, run.failure_code) == ("blocked", "capability_missing")
    assert "images" in (run.remedy or "")


@sqlite_only
def test_the_next_message_remembers_also_after_the_sandbox_was_removed(world: World) -> None:
    first = world.create("/remember the number is 41\n/write keep.txt kept", options={"approval": "all"})
    world.drive()
    workers = world.container.session_workers
    workers.stop(first.session_id)
    assert world.container.sandboxes.connect(first.session_id) is None
    workers.remove(first.session_id)
    assert not (world.settings.root / "sandboxes" / first.session_id).exists()
    second = world.create("/recall\n/read keep.txt", first.session_id)
    second = world.drive()
    assert second.status == "succeeded"
    assert "the number is 41" in (second.message or "")
    modes = [event.data["mode"] for event in world.events(second.id) if event.type == "context.restored"]
    assert modes == ["native_resume"]
    outputs = [event.data.get("output") for event in world.events(second.id) if event.type == "tool.result"]
    assert any("kept" in str(output) for output in outputs)


@sqlite_only
def test_a_sandbox_whose_files_are_gone_is_told_and_restored(world: World) -> None:
    first = world.create("/remember the number is 41\n/write keep.txt kept", options={"approval": "all"})
    world.drive()
    executor = world.container.sandboxes.connect(first.session_id)
    assert executor is not None
    snapshot = SessionWorker.get_by_id(first.session_id).snapshot_id
    world.container.sandboxes.remove(first.session_id, EVERY_GENERATION)  # as if somebody had deleted its folder
    second = world.create("/recall\n/read keep.txt", first.session_id)
    second = world.drive()
    assert "the number is 41" in (second.message or "")
    warnings = [event.data for event in world.events(second.id) if event.type == "run.warning"]
    assert [warning["code"] for warning in warnings] == ["sandbox_recovered"]
    assert snapshot in warnings[0]["message"]


@sqlite_only
def test_a_lost_conversation_is_told_and_not_hidden(world: World) -> None:
    first = world.create("/remember something")
    world.drive()
    executor = world.container.sandboxes.connect(first.session_id)
    assert executor is not None
    executor.execute("rm -rf /home/agent/.scripted", cwd="/workspace", timeout_ms=5000)
    second = world.create("hello", first.session_id)
    world.drive()
    warnings = [event.data["code"] for event in world.events(second.id) if event.type == "run.warning"]
    assert warnings == ["context_lost"]


@sqlite_only
def test_a_worker_that_stops_hands_its_run_back_and_the_agent_goes_on(world: World) -> None:
    run = world.create("/slow 100 20\n/say end")
    with driven(world):
        eventually(lambda: world.run(run.id).last_seq > 10)
        world.container.driver_parts.stopping.set()
        eventually(lambda: world.run(run.id).lease_until is None)
        world.container.driver_parts.stopping.clear()
        run = finished(world, run)
    assert (run.status, run.attempt, run.failures, run.epoch) == ("succeeded", 1, 0, 2)


@sqlite_only
def test_a_lease_that_runs_out_in_silence_too_often_is_poison(world: World) -> None:
    run = world.create("/sleep 60")
    parts = world.container.driver_parts
    for _ in range(5):
        claim = world.claim()
        if claim is None:
            break
        parts.stopping.set()  # each holder goes away before it has news
        world.driver(claim).drive()
        parts.stopping.clear()
        AgentRun.update(lease_until=db.now() - 1).where(AgentRun.id == run.id, AgentRun.finished_at.is_null()).execute()
    run = world.run(run.id)
    assert (run.status, run.failure_code) == ("failed", "poison")


@sqlite_only
def test_holders_that_die_before_they_do_anything_are_counted_too(world: World) -> None:
    run = world.create("/sleep 60")
    for _ in range(3):
        assert world.claim() is not None
        world.expire_lease(run.id)
    ended = world.drive()
    assert (ended.status, ended.failure_code, ended.failures, ended.deaths) == ("failed", "poison", 3, 3)
    assert check(run.id, world.container.stream) == []


@sqlite_only
def test_a_holder_whose_words_only_redis_had_did_not_die_in_silence(world: World) -> None:
    run = world.create("/say hello")
    claim = world.claim()
    assert claim is not None
    lease = Lease(run.id, claim.run.epoch, "world", 30)
    log = RunLog.open(claim.run, lease, world.container.stream, world.container.counters)
    log.append([now_draft("message.delta", {"messageId": "m", "role": "assistant", "text": "…"}, 0)])
    world.expire_lease(run.id)
    again = world.claim()
    assert again is not None
    assert (again.counted, again.run.deaths) == (True, 1)
    world.driver(again).drive()
    ended = world.run(run.id)
    assert (ended.status, ended.failures, ended.deaths) == ("succeeded", 0, 0)


@sqlite_only
def test_a_holder_that_cannot_read_the_log_because_redis_is_away_does_not_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = world.create("/say hello")

    def away(*_: object) -> RunLog:
        raise Unavailable("redis_unavailable", "away")

    for _ in range(5):
        claim = world.claim()
        assert claim is not None
        with monkeypatch.context() as patch:
            patch.setattr(RunLog, "open", away)
            world.driver(claim).drive()
        world.expire_lease(run.id)
    ended = world.drive()
    assert (ended.status, ended.failures) == ("succeeded", 0)


@sqlite_only
def test_a_run_whose_files_cannot_be_brought_back_waits_for_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create("/write a.txt one", options={"approval": "all"})
    first = world.drive()
    world.container.session_workers.stop(first.session_id)
    world.container.session_workers.remove(first.session_id)
    store, calls = world.container.store, 0
    get = store.get

    def away(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= 4:
            raise Unavailable("store_unavailable", "away")
        return get(*arguments)

    monkeypatch.setattr(run_driver, "AWAY_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(store, "get", away)
    run = world.create("/run cat a.txt", first.session_id, options={"approval": "all"})
    world.drive()
    run = world.run(run.id)
    assert (run.status, run.attempt, run.failures) == ("succeeded", 1, 0), run.failure_message
    assert calls > 4


@sqlite_only
def test_the_session_keeps_its_title_and_the_queue_says_why_a_run_waits(world: World) -> None:
    first = world.create("first line\nsecond line")
    second = world.create("later", first.session_id)
    assert ChatSession.get_by_id(first.session_id).title == "first line"
    waiting = waiting_for(world.run(second.id))
    assert waiting is not None
    assert (waiting["reason"], waiting["position"]) == ("session_busy", 1)
