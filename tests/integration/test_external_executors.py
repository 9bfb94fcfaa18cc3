"""Runs that an external executor works on: bound over HTTP, called back over HTTP, driven by a worker's code, on both databases."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.models import AgentRun, HumanLoopRequest, RunCommand, RunToken, SessionWorker, UsageLog
from app.services import run_creation
from tests import factories
from tests.cast import Person, person
from tests.support.waiting import eventually
from tests.support.web import HOST
from tests.support.world import World, open_world
from web import create_app

TS = "2026-01-31T12:00:00.000Z"
SETTINGS = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "external_stop_seconds": 0.2, "log_level": "CRITICAL"}


class House:
    """One back end with its web tier; bob's session; a worker where a test wants one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.app = create_app(world.container)
        from app.domain.permissions import Role

        self.bob: Person = person(world.user.tenant_id, "bob", Role.MEMBER)
        self.mallory: Person = person(world.user.tenant_id, "mallory", Role.MEMBER)
        self.session = factories.session(self.bob)

    def send(
        self, method: str, path: str, token: str, body: dict[str, Any] | None = None, key: str | None = None
    ) -> Any:
        headers = {"Host": HOST, "Authorization": f"Bearer {token}"}
        if method == "POST" and token.startswith("pdk_"):
            headers["Idempotency-Key"] = key or uuid.uuid4().hex
        return self.app.test_client(use_cookies=False).open(path, method=method, headers=headers, json=body)

    def bind(self, run_id: str, executor: str = "ex-1", key: str | None = None, **more: Any) -> Any:
        body = {"sessionId": self.session.id, "executorId": executor, **more}
        return self.send("POST", f"/api/runs/{run_id}/bind", self.bob.token, body, key)

    def read(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.send("GET", f"/api/runs/{run_id}", self.bob.token).json
        return found


class Executor:
    """An external executor that has a run."""

    def __init__(self, house: House, run_id: str, binding: dict[str, Any]) -> None:
        self.house, self.run_id, self.token, self.count = house, run_id, binding["token"], 0

    def tell(self, kind: str, data: dict[str, Any], event_id: str | None = None) -> Any:
        self.count += 1
        body = {"eventId": event_id or f"e{self.count}", "type": kind, "ts": TS, "data": data}
        return self.house.send("POST", f"/api/runs/{self.run_id}/callbacks", self.token, body)

    def look(self) -> Any:
        return self.house.send("GET", f"/api/runs/{self.run_id}/callbacks", self.token)


@pytest.fixture
def house(tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr("web.api.external.APPLIED_WITHIN_MS", 0)  # tests say themselves when a worker is there
    with open_world(tmp_path / "var", database_url, redis_url, **SETTINGS) as world:
        made = House(world)
        yield made
        made.app.extensions["paddock"].hub.close()


@pytest.fixture
def worker(house: House) -> Iterator[None]:
    """A worker that drives what is claimable."""
    done = threading.Event()

    def drive() -> None:
        with db.connection():
            while not done.wait(0.01):
                claim = house.world.claim()
                if claim is not None:
                    house.world.driver(claim).drive()

    thread = threading.Thread(target=drive)
    thread.start()
    yield
    done.set()
    thread.join()


def bound(house: House, run_id: str | None = None, executor: str = "ex-1") -> Executor:
    name = run_id or f"run_{uuid.uuid4().hex}"
    answer = house.bind(name, executor)
    assert answer.status_code == 200, answer.json
    return Executor(house, name, answer.json)


def status(house: House, run_id: str, wanted: str) -> AgentRun:
    return eventually(lambda: (row := AgentRun.get_by_id(run_id)).status == wanted and row, what=wanted)


def ended(house: House, run_id: str) -> AgentRun:
    return eventually(lambda: (row := AgentRun.get_by_id(run_id)).finished_at and row, what="the run ends")


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.usefixtures("worker")
def test_what_an_executor_reports_becomes_a_log_and_the_run_ends_as_it_says(house: House) -> None:
    executor = bound(house)
    told = [
        ("message.delta", {"messageId": "m1", "text": "hel"}),
        ("message.delta", {"messageId": "m1", "text": "lo"}),
        ("message.stop", {"messageId": "m1", "text": "hello"}),
        ("tool.call", {"toolCallId": "t1", "name": "Bash", "kind": "execute", "input": {"command": "ls"}}),
        ("tool.result", {"toolCallId": "t1", "status": "ok", "output": "a"}),
        ("todo.update", {"todos": [{"id": "1", "content": "x", "status": "completed"}]}),
        ("usage.update", {"input": 10, "output": 5, "costUsd": 0.25}),
    ]
    for kind, data in told:
        answer = executor.tell(kind, data)
        assert (answer.status_code, answer.json["duplicate"], answer.json["stopRequested"]) == (200, False, False)
    last = {"status": "succeeded", "stopReason": "end_turn", "usage": {"input": 12, "output": 6, "costUsd": 0.5}}
    assert executor.tell("run.finished", last, "last").status_code == 200
    run = ended(house, executor.run_id)

    assert (run.status, run.message, run.attempt, run.stop_reason) == ("succeeded", "hello", 1, "end_turn")
    events = house.world.events(run.id)
    assert [event.type for event in events] == [
        "run.status", "run.status", "run.started", "context.restored", "run.status", *(kind for kind, _ in told),
        "run.status", "run.finished", "run.closed",
    ]  # fmt: skip
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    usage = UsageLog.get_by_id(run.id)
    assert (usage.input, usage.output, usage.cost_usd, usage.provider) == (12, 6, 0.5, "external")

    again = executor.tell("run.finished", last, "last")
    assert (again.status_code, again.json["duplicate"], again.json["seq"]) == (200, True, run.last_seq)
    late = executor.tell("message.delta", {"messageId": "m1", "text": "late"}, "late")
    assert (late.status_code, late.json["code"]) == (409, "run_closed")
    assert "succeeded" in late.json["detail"]
    assert UsageLog.select().where(UsageLog.run_id == run.id).count() == 1


def test_callbacks_are_in_the_log_once_in_the_order_of_arrival_however_often_workers_die(house: House) -> None:
    executor, world = bound(house), house.world
    for number in range(30):
        executor.tell("message.delta", {"messageId": "m", "text": f"{number} "}, f"d{number}")
    assert executor.tell("message.delta", {"messageId": "m", "text": "other"}, "d7").json["duplicate"]
    claim = world.claim()
    assert claim is not None
    driver, original = world.driver(claim), run_creation.runs.mark_applied
    calls: list[int] = []

    def dies(command_ids: Any, seq: int) -> None:
        original(command_ids, seq)
        calls.append(seq)
        if len(calls) == 2:  # within the transaction of the deltas
            raise KeyboardInterrupt

    run_creation.runs.mark_applied = dies
    try:
        with pytest.raises(KeyboardInterrupt):
            driver.drive()
    finally:
        run_creation.runs.mark_applied = original
    assert "message.delta" not in world.types(executor.run_id)
    world.expire_lease(executor.run_id)
    executor.tell("run.finished", {"status": "failed", "stopReason": "boom", "failureCode": "model_invalid"})
    run = world.drive()

    texts = [event.data["text"] for event in world.events(run.id) if event.type == "message.delta"]
    assert texts == [f"{number} " for number in range(30)]
    assert (run.status, run.failure_code, run.attempt, run.epoch) == ("failed", "model_invalid", 1, 2)
    assert not RunCommand.select().where(RunCommand.applied_seq.is_null()).exists()


@pytest.mark.usefixtures("worker")
def test_people_answer_what_an_executor_asks(house: House) -> None:
    executor = bound(house)
    asked = {"requestId": "req-1", "kind": "approval", "title": "Run it", "toolCall": {"name": "Bash", "input": {}}}
    executor.tell("human_loop.requested", asked)
    status(house, executor.run_id, "waiting_human")
    pending = house.send("GET", "/api/human-loop/pending", house.bob.token).json["items"]
    assert [item["requestId"] for item in pending] == ["req-1"]
    assert executor.look().json["answers"] == []

    reply = {"requestId": "req-1", "decision": "allow", "message": "go"}
    assert house.send("POST", "/api/human-loop/reply", house.bob.token, reply).json["outcome"] == "answered"
    assert HumanLoopRequest.get_by_id("req-1").delivered_at is None  # not before the executor read it
    answer = executor.tell("message.delta", {"messageId": "m", "text": "x"}).json["answers"]
    assert answer == [
        {
            "requestId": "req-1",
            "outcome": "answered",
            "by": house.bob.user.id,
            "reply": {"decision": "allow", "message": "go"},
        }
    ]
    status(house, executor.run_id, "running")
    eventually(lambda: HumanLoopRequest.get_by_id("req-1").delivered_at, what="the receipt")
    assert executor.look().json["answers"] == answer  # an executor that lost it reads it again
    executor.tell(
        "human_loop.resolved", {"requestId": "req-1", "outcome": "answered"}
    )  # a receipt more says nothing new
    executor.tell("run.finished", {"status": "succeeded"})
    ended(house, executor.run_id)
    resolved = [event.data for event in house.world.events(executor.run_id) if event.type == "human_loop.resolved"]
    assert [(each["outcome"], each["reply"]["decision"], each["delivery"]) for each in resolved] == [
        ("answered", "allow", "live")
    ]


@pytest.mark.usefixtures("worker")
def test_a_request_that_the_executor_closes_itself_gets_no_second_answer(house: House) -> None:
    executor = bound(house)
    for name in ("r-1", "r-2"):
        executor.tell("human_loop.requested", {"requestId": name, "kind": "approval", "title": "t"})
    status(house, executor.run_id, "waiting_human")
    executor.tell("human_loop.resolved", {"requestId": "r-1", "outcome": "answered", "reply": {"decision": "deny"}})
    executor.tell("human_loop.resolved", {"requestId": "r-2", "outcome": "superseded"})
    status(house, executor.run_id, "running")
    first = house.send("POST", "/api/human-loop/reply", house.bob.token, {"requestId": "r-1", "decision": "allow"}).json
    assert (first["duplicate"], first["reply"]) == (True, {"decision": "deny"})
    second = house.send("POST", "/api/human-loop/reply", house.bob.token, {"requestId": "r-2", "decision": "allow"})
    assert (second.status_code, second.json["code"]) == (409, "request_closed")


@pytest.mark.usefixtures("worker")
def test_a_stop_reaches_the_executor_and_does_not_wait_for_it_for_ever(house: House) -> None:
    polite, deaf = bound(house), None
    status(house, polite.run_id, "running")
    house.send("POST", f"/api/runs/{polite.run_id}/stop", house.bob.token, {})
    assert polite.tell("run.finished", {"status": "canceled", "stopReason": "stopped"}).json["stopRequested"]
    assert ended(house, polite.run_id).status == "canceled"

    deaf = bound(house)
    status(house, deaf.run_id, "running")
    house.send("POST", f"/api/runs/{deaf.run_id}/stop", house.bob.token, {})
    assert deaf.look().json["stopRequested"]
    run = ended(house, deaf.run_id)
    assert run.status == "canceled"
    assert deaf.tell("message.delta", {"messageId": "m", "text": "x"}).json["code"] == "run_closed"


@pytest.mark.usefixtures("worker")
def test_a_silent_executor_is_given_up_and_the_session_goes_on(house: House) -> None:
    executor = bound(house)
    status(house, executor.run_id, "running")
    next_run = house.world.create("/say next", session=house.session.id)
    AgentRun.update(bound_until=db.now() - 1).where(AgentRun.id == executor.run_id).execute()
    run = ended(house, executor.run_id)
    assert (run.status, run.failure_code, bool(run.remedy)) == ("failed", "worker_lost", True)
    assert ended(house, next_run.id).message == "next"


@pytest.mark.usefixtures("worker")
def test_the_same_executor_keeps_its_epoch_and_another_one_takes_over(house: House) -> None:
    run_id = f"run_{uuid.uuid4().hex}"
    first = house.bind(run_id, "ex-1", key="k1")
    second, replayed = house.bind(run_id, "ex-1"), house.bind(run_id, "ex-1", key="k1")
    assert [answer.json["epoch"] for answer in (first, second, replayed)] == [1, 1, 1]
    assert replayed.headers["Idempotent-Replay"] == "true"
    executors = [Executor(house, run_id, answer.json) for answer in (first, second, replayed)]
    for number, executor in enumerate(executors):
        assert executor.tell("message.delta", {"messageId": "m", "text": str(number)}, f"x{number}").status_code == 200
    executors[0].tell("human_loop.requested", {"requestId": "open", "kind": "approval", "title": "t"}, "asks")

    other = house.bind(run_id, "ex-2")
    assert other.json["epoch"] == 2
    for executor in executors:
        refused = executor.tell("message.delta", {"messageId": "m", "text": "stale"}, "stale")
        assert (refused.status_code, refused.json["code"]) == (409, "bind_superseded")
        assert executor.look().status_code == 409
    took_over = Executor(house, run_id, other.json)
    took_over.tell("run.finished", {"status": "succeeded"})
    run = ended(house, run_id)
    assert run.attempt == 2
    events = house.world.events(run_id)
    started = [(event.seq, event.data["executorId"]) for event in events if event.type == "run.started"]
    assert [name for _, name in started] == ["ex-1", "ex-2"]
    assert [event.data["outcome"] for event in events if event.type == "human_loop.resolved"] == ["superseded"]
    assert {event.attempt for event in events if event.type == "message.delta"} == {1}
    assert not RunToken.select().where(RunToken.token_hash == other.json["token"]).exists()  # hashes alone are kept


@sqlite_only
def test_a_token_opens_the_callbacks_of_its_run_and_nothing_else(house: House) -> None:
    mine = bound(house)
    other_session = factories.session(house.bob)
    body = {"sessionId": other_session.id, "executorId": "ex-1"}
    other = house.send("POST", f"/api/runs/run_{uuid.uuid4().hex}/bind", house.bob.token, body).json
    for token in (other["token"], house.bob.token, "pdx_made-up"):
        assert Executor(house, mine.run_id, {"token": token}).look().status_code == 401
    for path in ("/api/me", f"/api/runs/{mine.run_id}"):
        assert house.send("GET", path, mine.token).status_code == 401
    assert house.send("POST", f"/api/runs/{mine.run_id}/bind", mine.token, body).status_code == 401


@sqlite_only
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("message.stop", {"messageId": "m"}),
        ("message.stop", {"messageId": "m", "text": 5}),
        ("message.stop", {"messageId": "m", "text": "x", "surprise": 1}),
        ("run.finished", {"status": "queued"}),
        ("run.finished", {"status": "failed", "failureCode": "nonsense"}),
        ("usage.update", {"input": -1}),
        ("todo.update", {"todos": [{"id": "1", "content": "x", "status": "half"}]}),
        ("human_loop.requested", {"requestId": "r", "kind": "question", "title": "t"}),
        ("human_loop.requested", {"requestId": "r r", "kind": "approval", "title": "t"}),
        ("run.closed", {}),
        ("run.status", {"status": "succeeded"}),
        ("workspace.synced", {}),
        ("never.heard", {}),
    ],
)
def test_what_is_no_event_of_an_executors_is_refused(house: House, kind: str, data: dict[str, Any]) -> None:
    executor = bound(house)
    answer = executor.tell(kind, data)
    assert (answer.status_code, answer.content_type) == (422, "application/problem+json")
    assert RunCommand.select().where(RunCommand.kind == "external").count() == 1  # the binding


@sqlite_only
def test_an_event_id_or_a_time_that_cannot_be_is_refused(house: House) -> None:
    executor = bound(house)
    good = {"eventId": "e", "type": "message.delta", "ts": TS, "data": {"messageId": "m", "text": "x"}}
    wrong = [
        {"eventId": "stop"},
        {"eventId": "answer:r"},
        {"eventId": ""},
        {"ts": "yesterday"},
        {"ts": "2026-01-31T12:00:00"},
    ]
    for change in wrong:
        path = f"/api/runs/{executor.run_id}/callbacks"
        assert house.send("POST", path, executor.token, {**good, **change}).status_code == 422


def test_only_a_run_that_waits_can_be_bound(house: House) -> None:
    running = house.world.create("/say hi", session=house.session.id)
    second = house.world.create("/say hi", session=house.session.id)
    busy = house.bind(second.id)
    assert (busy.status_code, busy.json["code"]) == (409, "session_busy")
    assert house.world.claim() is not None
    active = house.bind(running.id)
    assert (active.status_code, active.json["code"]) == (409, "run_active")
    elsewhere = house.world.create("/say hi")
    assert house.bind(elsewhere.id).json["code"] == "run_exists"  # bob does not see it
    body = {"sessionId": house.session.id, "executorId": "ex"}
    assert house.send("POST", f"/api/runs/{running.id}/bind", house.mallory.token, body).status_code == 404


def test_a_queued_run_is_the_executors_before_a_worker_takes_it_and_no_agent_is_started(house: House) -> None:
    run = house.world.create("/say hi", session=house.session.id)
    executor = bound(house, run.id)
    claim = house.world.claim()
    assert claim is not None
    house.world.driver(claim).drive()  # takes the binding, then has nothing to do
    assert AgentRun.get_by_id(run.id).status == "running"
    assert house.world.claim() is None
    assert house.world.container.sandboxes.list_running() == []
    executor.tell("run.finished", {"status": "succeeded"})
    assert house.world.drive().status == "succeeded"


def test_a_run_for_external_executors_waits_for_one(house: House) -> None:
    body = {"prompt": "do it", "sessionId": house.session.id, "provider": "external"}
    made = house.send("POST", "/api/runs/queue/enqueue", house.bob.token, body).json
    assert house.read(made["runId"])["waitingFor"]["reason"] == "executor"
    assert house.world.claim() is None
    executor = bound(house, made["runId"])
    executor.tell("run.finished", {"status": "succeeded"})
    assert house.world.drive().status == "succeeded"


def test_a_whole_message_saves_the_workspace_of_a_running_sandbox(house: House) -> None:
    ready = house.world.container.session_workers.activate(house.session.id)
    executor = bound(house)
    ready.executor.write_file("made.txt", b"by the executor")
    executor.tell("message.stop", {"messageId": "m", "text": "done"})
    claim = house.world.claim()
    assert claim is not None
    house.world.driver(claim).drive()
    synced = [event.data for event in house.world.events(executor.run_id) if event.type == "workspace.synced"]
    assert [(each["reason"], each["filesChanged"]) for each in synced] == [("message.stop", 1)]
    assert SessionWorker.get_by_id(house.session.id).last_sync_status == "succeeded"
