"""The commands of operators against the application in this process: workers, drain, policy, stop --all, overdue requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app import db
from app.models import HumanLoopRequest, WorkerProcess
from app.services import worker_processes
from cli import main as cli
from cli import operating_commands, run_commands
from cli.client import Client
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import HOST, Web

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Paddock = Callable[..., str]


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


@pytest.fixture
def paddock(web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Paddock:
    def connect() -> Client:
        return Client(f"http://{HOST}", people.otto.token, transport=httpx.WSGITransport(app=web.app))

    monkeypatch.setattr(operating_commands, "connect", connect)
    monkeypatch.setattr(run_commands, "connect", connect)
    monkeypatch.setattr(operating_commands, "WAIT_MS", 0)

    def run(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        ended = 0
        try:
            cli.main(list(words))
        except SystemExit as left:
            ended = int(left.code or 0)
        assert ended == code
        return capsys.readouterr().out

    return run


def test_a_worker_is_drained_by_its_name_and_a_host_by_its(paddock: Paddock) -> None:
    assert "no worker lives" in paddock("workers")
    for name in ("here:1", "here:2"):
        worker_processes.register(name, "runs")
    WorkerProcess.update(host="here").execute()
    assert "here:1" in paddock("workers")
    first = json.loads(paddock("drain", "here:1", "--json", code=1))["items"]  # nobody is there to do it
    assert [(item["name"], item["state"]) for item in first] == [("here:1", "draining")]
    assert worker_processes.mark_drained("here:1")
    assert "drained" in paddock("drain", "here:1")
    both = json.loads(paddock("undrain", "here", "--json"))["items"]
    assert {item["state"] for item in both} == {"ready"}
    paddock("drain", "there", code=2)


def test_the_policy_is_shown_and_laid_down_part_by_part(paddock: Paddock, people: Cast) -> None:
    session = factories.session(people.bob)
    assert "no deadline" in paddock("policy")
    paddock("policy", "--deadline", "600", "--on-deadline", "deny")
    said = paddock("policy", "--session", session.id, "--deadline", "60", "--json")
    shown = json.loads(said)
    assert shown["own"] == {"deadlineSeconds": 60, "onDeadline": None}
    assert shown["effective"] == {"deadlineSeconds": 60, "onDeadline": "deny"}
    assert "60 s to answer; what is late is denied" in paddock("policy", "--session", session.id)
    paddock("policy", "--deadline", "none")
    assert json.loads(paddock("policy", "--json"))["own"] == {"deadlineSeconds": None, "onDeadline": "deny"}
    paddock("policy", "--deadline", "soon", code=2)
    paddock("policy", "--on-deadline", "allow", code=2)


def test_everything_is_stopped_at_once(paddock: Paddock, people: Cast) -> None:
    factories.run(people.bob)
    factories.run(people.charlie)
    assert "1 runs were asked to stop" in paddock("stop", "--all")
    assert "1 were asked before" in paddock("stop", "--all")
    paddock("stop", code=2)


def test_what_is_overdue_is_shown_so(paddock: Paddock, people: Cast) -> None:
    request = factories.approval(factories.run(people.bob))
    assert "deadline" not in paddock("pending")
    for moment, shown in ((db.now() + 600, "deadline"), (db.now() - 600, "overdue since 10 min ago")):
        HumanLoopRequest.update(deadline_at=moment).where(HumanLoopRequest.id == request.id).execute()
        assert shown in paddock("pending")
