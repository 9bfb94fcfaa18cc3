"""Maintenance over HTTP: what a person who asks for it is told, within his time and about his own tenant."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import db
from app.models import AgentRun, SessionWorker
from app.ports import ExecutorError
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.folder_host import FolderSandboxes
from tests.support.web import Web

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    settings = web_support.settings_of(tmp_path / "var", database_url, redis_url)
    made = web_support.make(settings, sandboxes=FolderSandboxes(tmp_path / "sandboxes"))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


@contextmanager
def maintenance_worker(web: Web) -> Iterator[None]:
    """Grant wishes as long as the block lasts."""
    done = threading.Event()

    def grant() -> None:
        with db.connection():
            while not done.wait(0.01):
                web.container.session_workers.grant_wishes()

    worker = threading.Thread(target=grant)
    worker.start()
    try:
        yield
    finally:
        done.set()
        worker.join()


def unsaved(web: Web, owner: cast.Person) -> str:
    """A session whose sandbox runs and whose last save failed."""
    session = factories.session(owner)
    web.container.session_workers.activate(session.id)
    SessionWorker.update(last_sync_status="failed", last_sync_error="away").where(
        SessionWorker.session_id == session.id
    ).execute()
    return session.id


def test_what_could_not_be_saved_is_saved_and_told(web: Web, people: Cast) -> None:
    ours, theirs = unsaved(web, people.bob), unsaved(web, people.charlie)
    with maintenance_worker(web):
        answer = web.post("/api/reconcile/sync", people.otto.headers, json={"timeoutMs": 20_000})
    assert answer.status_code == 200
    assert answer.json["checked"] == answer.json["done"] == 1
    assert [item["sessionId"] for item in answer.json["items"]] == [ours]
    states = {worker.session_id: worker.last_sync_status for worker in SessionWorker.select()}
    assert states == {ours: "succeeded", theirs: "failed"}


def test_a_save_that_fails_counts_as_failed_and_the_sandbox_stays(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = unsaved(web, people.bob)
    host = web.container.sandboxes.connect(session_id)

    def fail(*_: object, **__: object) -> None:
        raise ExecutorError("http", "/workspace/sync", 3, 3, status=500)

    monkeypatch.setattr(host, "scan", fail)
    with maintenance_worker(web):
        answer = web.post("/api/reconcile/sync", people.alice.headers, json={"timeoutMs": 20_000})
    assert (answer.status_code, answer.json["failed"], answer.json["done"]) == (200, 1, 0)
    worker = SessionWorker.get_by_id(session_id)
    assert (worker.status, worker.last_sync_status) == ("running", "failed")


def test_without_anybody_who_does_it_the_answer_comes_in_time_and_says_where_to_look(web: Web, people: Cast) -> None:
    unsaved(web, people.bob)
    answer = web.post("/api/reconcile/sync", people.otto.headers, json={"timeoutMs": 0})
    assert (answer.status_code, answer.json["pending"]) == (202, 1)
    assert answer.headers["Location"] == "/api/session-workers"


def test_runs_of_the_own_tenant_alone_are_compared(web: Web, people: Cast) -> None:
    ours, theirs = factories.run(people.bob), factories.run(people.charlie)
    AgentRun.update(status="running", attempt=1, claimed_at=db.now()).execute()
    answer = web.post("/api/reconcile/runs", people.otto.headers)
    assert answer.status_code == 200
    assert answer.json["items"] == [
        {
            "runId": ours.id,
            "sessionId": ours.session_id,
            "outcome": "done",
            "detail": "the sandbox does not run",
        }
    ]
    assert "runs" in web.bell.rung
    assert AgentRun.get_by_id(theirs.id).status == "running"


def test_a_drain_rings_waits_its_time_and_counts(web: Web, people: Cast) -> None:
    nothing = {"succeeded": 0, "retried": 0, "failed": 0, "canceled": 0}
    run = factories.run(people.bob)
    web.bell.rung.clear()
    answer = web.post("/api/runs/queue/drain", people.otto.headers, json={"timeoutMs": 0})
    assert (answer.status_code, answer.json) == (202, nothing)
    assert answer.headers["Location"] == "/api/runs/queue"
    assert web.bell.rung == ["runs"]
    answer = web.post("/api/runs/queue/drain", people.charlie.headers, json={"timeoutMs": 0})
    assert (answer.status_code, answer.json) == (200, nothing)
    AgentRun.update(status="canceled", finished_at=db.now()).where(AgentRun.id == run.id).execute()
    assert web.post("/api/runs/queue/drain", people.otto.headers).status_code == 200


def test_the_same_key_drains_once(web: Web, people: Cast) -> None:
    factories.run(people.bob)
    headers = {**people.otto.headers, "Idempotency-Key": "drain-1"}
    first = web.post("/api/runs/queue/drain", headers, json={"timeoutMs": 0})
    AgentRun.update(status="succeeded", finished_at=db.now()).execute()
    again = web.post("/api/runs/queue/drain", headers, json={"timeoutMs": 0})
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert again.headers["Idempotent-Replay"] == "true"
    assert web.post("/api/runs/queue/drain", {**headers, "Idempotency-Key": ""}).status_code == 400


def test_what_maintenance_did_is_in_the_metrics(web: Web, people: Cast) -> None:
    maintenance = web.container.maintenance
    job = next(job for job in maintenance.jobs() if job.name == "sweep_runs")
    factories.run(people.bob)
    for _ in range(2):
        maintenance.run(job)
    lines = web.get("/metrics").get_data(as_text=True).splitlines()
    assert "# TYPE paddock_maintenance_runs_total counter" in lines
    assert 'paddock_maintenance_runs_total{job="sweep_runs"} 2' in lines
    assert 'paddock_maintenance_effects_total{job="sweep_runs"} 2' in lines
