"""What a card of a request needs, over HTTP. Answering is in `test_api_sessions`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import db, ids
from app.models import AgentRun, HumanLoopRequest
from app.services import human_loop
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def ask(run: AgentRun, name: str, **more: Any) -> None:
    data = {"requestId": name, "kind": "approval", "title": "Write a file", "options": ["allow", "deny"], **more}
    human_loop.opened(run, 1, data, db.now())


def pending(web: Web, who: cast.Person, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = web.get(f"/api/human-loop/pending?{query}", who.headers).json["items"]
    return items


def test_an_approval_tells_what_it_is_about(web: Web, people: Cast) -> None:
    session = factories.session(people.bob, "the roof")
    run = factories.run(people.bob, session)
    call = {"name": "Bash", "kind": "execute", "input": {"command": "ls"}}
    deadline = ids.rfc3339_of(db.now() + 90)
    ask(run, "hlr_1", toolCall=call, toolCallId="t1", rule="default", deadlineAt=deadline)

    (item,) = pending(web, people.bob)

    assert (item["sessionTitle"], item["runId"], item["sessionId"]) == ("the roof", run.id, session.id)
    assert (item["toolCall"], item["toolCallId"], item["rule"]) == (call, "t1", "default")
    assert (item["deadlineAt"], item["overdue"]) == (deadline, False)
    assert 88_000 < item["timeoutMs"] <= 90_000
    HumanLoopRequest.update(deadline_at=db.now() - 1).execute()
    assert pending(web, people.bob)[0]["overdue"] is True


def test_a_question_tells_its_choices_and_which_takes_several(web: Web, people: Cast) -> None:
    asked = [
        {"id": "q1", "question": "Color?", "header": "Color", "options": [{"label": "red", "description": "warm"}]},
        {"id": "q2", "question": "Sizes?", "multiple": True},
    ]
    run = factories.run(people.bob)
    ask(run, "hlr_1", kind="question", questions=asked, options=[])
    body = {"requestId": "hlr_1", "answers": {"q1": ["red"], "q2": ["S", "M"]}}

    assert pending(web, people.bob)[0]["questions"] == asked
    web.post("/api/human-loop/reply", people.bob.headers, json=body)
    (item,) = web.get("/api/human-loop/resolved", people.bob.headers).json["items"]
    assert (item["outcome"], item["reply"]) == ("answered", {"answers": body["answers"]})
    again = web.post("/api/human-loop/reply", people.alice.headers, json=body).json
    assert (again["duplicate"], again["by"], again["reply"]) == (True, people.bob.user.id, {"answers": body["answers"]})


def test_requests_of_all_ones_sessions_come_in_pages(web: Web, people: Cast) -> None:
    for number in range(5):
        ask(factories.run(people.bob), f"hlr_{number}")
    ask(factories.run(people.alice), "hlr_of_alice")
    ask(factories.run(people.mallory), "hlr_of_mallory")

    first = web.get("/api/human-loop/pending?limit=3", people.bob.headers).json
    second = web.get(f"/api/human-loop/pending?limit=3&cursor={first['nextCursor']}", people.bob.headers).json

    assert [item["requestId"] for item in first["items"] + second["items"]] == [f"hlr_{n}" for n in range(5)]
    assert len(pending(web, people.alice)) == 7
    assert [item["requestId"] for item in pending(web, people.alice, "mine=true")] == ["hlr_of_alice"]
