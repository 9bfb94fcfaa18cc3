"""Sessions over HTTP: chats and their messages, sandboxes, requests to people, bundles, providers, the document."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask_openapi3.models import APISpec

from app.domain.events import EventType
from app.models import AgentRun, Bundle, ChatSession, HumanLoopRequest, RunCommand, SessionWorker
from app.services import worker_rows
from tests import cast, factories
from tests.cast import Cast
from tests.support import log_world
from tests.support import web as web_support
from tests.support.log_world import draft, ending, finish
from tests.support.waiting import eventually
from tests.support.web import Web

pytestmark = pytest.mark.usefixtures("database")

CHATS = "/api/chat-opencode-history"
BUNDLE = b"# v2 git bundle\n0123456789012345678901234567890123456789 refs/heads/main\n\nPACK"


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    settings = web_support.settings_of(
        tmp_path / "var", database_url, redis_url, max_bundle_bytes=10_000, max_body_bytes=5_000
    )
    return web_support.make(settings)


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


# --- chats -------------------------------------------------------------------------------------------------------------------


def test_a_chat_is_made_renamed_archived_and_brought_back(web: Web, people: Cast) -> None:
    made = web.post(CHATS, people.bob.headers, json={"title": "first"})
    path = f"{CHATS}/{made.json['chatId']}"
    assert made.status_code == 201
    assert made.headers["Location"] == path

    assert web.send("PUT", path, people.bob.headers, json={"title": "second"}).json["title"] == "second"
    assert web.send("PUT", path, people.bob.headers, json={"archived": True}).json["archived"] is True
    assert web.get(CHATS, people.bob.headers).json["items"] == []
    assert [item["title"] for item in web.get(f"{CHATS}?archived=true", people.bob.headers).json["items"]] == ["second"]
    assert web.send("PUT", path, people.bob.headers, json={"archived": False}).json["archived"] is False


def test_chats_come_in_pages_the_one_used_last_first(web: Web, people: Cast) -> None:
    sessions = [factories.session(people.bob, f"chat {number}") for number in range(5)]
    ChatSession.update(updated_at=ChatSession.updated_at + 100).where(ChatSession.id == sessions[0].id).execute()
    found, cursor = [], ""
    while cursor is not None:
        page = web.get(f"{CHATS}?limit=2" + (f"&cursor={cursor}" if cursor else ""), people.bob.headers).json
        found += [item["title"] for item in page["items"]]
        cursor = page["nextCursor"]

    assert found == ["chat 0", "chat 4", "chat 3", "chat 2", "chat 1"]


def test_messages_are_what_the_events_say_and_cannot_be_written(web: Web, people: Cast) -> None:
    run = factories.run(people.bob, prompt="write it")
    log = log_world.take_over(run.id, web.container.stream)
    log.append([draft(EventType.THINKING_STOP, {"messageId": "m", "text": "hm"}, 1)])
    log.append([draft(EventType.TOOL_CALL, {"toolCallId": "t", "name": "Write", "input": {"path": "a"}}, 2)])
    log.append([draft(EventType.TOOL_RESULT, {"toolCallId": "t", "status": "ok", "output": "done"}, 3)])
    log.append([draft(EventType.MESSAGE_STOP, {"messageId": "m", "text": "written"}, 4)])
    log.seal(ending(), finish(run.id))
    path = f"{CHATS}/{run.session_id}"

    messages = web.get(path, people.bob.headers).json["messages"]
    refused = web.send("PUT", path, people.bob.headers, json={"messages": []})

    assert [message["role"] for message in messages] == ["user", "assistant"]
    assert messages[0]["parts"] == [{"type": "text", "text": "write it"}]
    parts = messages[1]["parts"]
    assert [part["type"] for part in parts] == ["reasoning", "dynamic-tool", "text"]
    assert (parts[1]["state"], parts[1]["output"]) == ("output-available", "done")
    assert parts[2]["text"] == "written"
    assert refused.status_code == 422


# --- sandboxes -----------------------------------------------------------------------------------------------------------------


def test_a_wish_that_takes_longer_is_202_with_where_to_look(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)

    answer = web.post(f"/api/session-workers/{session.id}/activate", people.bob.headers, json={"timeoutMs": 0})

    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/session-workers/{session.id}"
    assert answer.json["wish"] == "activate"
    assert f"worker:{session.id}" in web.bell.rung
    assert web.get(answer.headers["Location"], people.bob.headers).json["status"] == "created"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (None, 200, None),
        ("run_active: The session is at work.", 409, "run_active"),
        ("sandbox_lost: It does not answer.", 503, "sandbox_lost"),
        ("something odd", 409, "wish_refused"),
    ],
)
def test_a_wish_is_answered_as_soon_as_it_is_granted_or_refused(
    web: Web, people: Cast, error: str | None, status: int, code: str | None
) -> None:
    session = factories.session(people.bob)

    def grant() -> None:
        worker = eventually(
            lambda: SessionWorker.get_or_none(SessionWorker.session_id == session.id, SessionWorker.wish == "sync"),
            what="the wish",
        )
        worker_rows.clear_wish(worker, error)

    granting = threading.Thread(target=grant)
    granting.start()
    answer = web.post(f"/api/session-workers/{session.id}/sync", people.bob.headers, json={"timeoutMs": 20_000})
    granting.join()

    assert answer.status_code == status
    assert answer.json.get("code") == code


def test_a_clean_up_wishes_to_each_idle_sandbox_and_tells_what_became_of_it(web: Web, people: Cast) -> None:
    errors = {"done": None, "skipped": "run_active: It is at work.", "failed": "sandbox_lost: It is gone."}
    sessions = {name: factories.session(people.bob) for name in errors}
    foreign = factories.session(people.charlie)
    for session in (*sessions.values(), foreign):
        worker_rows.ensure(session)
    SessionWorker.update(status="running", last_used_at=0).execute()

    def grant() -> None:
        for name, session in sessions.items():
            one = (SessionWorker.session_id == session.id) & (SessionWorker.wish == "stop")
            worker = eventually(lambda one=one: SessionWorker.get_or_none(one), what="the wish")
            worker_rows.clear_wish(worker, errors[name])

    granting = threading.Thread(target=grant)
    granting.start()
    answer = web.post("/api/session-workers/cleanup/idle", people.otto.headers, json={"timeoutMs": 20_000})
    granting.join()

    assert answer.status_code == 200
    counts = {name: answer.json[name] for name in ("checked", "done", "skipped", "failed")}
    assert counts == {"checked": 3, "done": 1, "skipped": 1, "failed": 1}
    outcomes = {item["sessionId"]: item["outcome"] for item in answer.json["items"]}
    assert outcomes == {session.id: name for name, session in sessions.items()}
    assert SessionWorker.get_by_id(foreign.id).wish is None


def test_a_clean_up_that_takes_longer_is_202(web: Web, people: Cast) -> None:
    worker_rows.ensure(factories.session(people.bob))
    SessionWorker.update(status="running", last_used_at=0).execute()

    answer = web.post("/api/session-workers/cleanup/idle", people.otto.headers, json={"timeoutMs": 0})

    assert (answer.status_code, answer.json["pending"]) == (202, 1)


def test_session_workers_are_listed_with_titles_and_sync_states(web: Web, people: Cast) -> None:
    worker_rows.ensure(factories.session(people.bob, "mine"))
    worker_rows.ensure(factories.session(people.mallory, "hers"))

    items = web.get("/api/session-workers", people.bob.headers).json["items"]

    assert [(item["title"], item["syncState"]) for item in items] == [("mine", "local_only")]


def test_a_session_without_a_sandbox_reads_as_an_empty_workspace(web: Web, people: Cast) -> None:
    base = f"/api/session-workers/{factories.session(people.bob).id}"

    assert web.get(base, people.bob.headers).status_code == 404
    tree = web.get(f"{base}/workspace/tree", people.bob.headers)
    assert (tree.json["entries"], tree.json["source"]) == ([], "none")
    assert web.get(f"{base}/workspace/snapshots", people.bob.headers).json["items"] == []


@pytest.mark.parametrize("path", ["../etc/passwd", "/etc/passwd", "a/../../x", "..", "/workspace/../etc"])
def test_a_path_outside_is_refused_wherever_one_is_taken(web: Web, people: Cast, path: str) -> None:
    base = f"/api/session-workers/{factories.session(people.bob).id}/workspace"
    for address in ("tree", "file", "download"):
        answer = web.get(f"{base}/{address}", people.bob.headers, query_string={"path": path})
        assert (answer.status_code, answer.json["code"]) == (422, "path_outside")


# --- requests to people ----------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_once_and_a_repeated_reply_gets_the_first_answer(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    request = factories.approval(run)
    pending = web.get("/api/human-loop/pending", people.bob.headers).json["items"]
    body = {"requestId": request.id, "decision": "allow"}

    first = web.post("/api/human-loop/reply", people.bob.headers, json=body)
    second = web.post("/api/human-loop/reply", people.alice.headers, json={**body, "decision": "deny"})

    assert [item["requestId"] for item in pending] == [request.id]
    assert (first.status_code, first.json["duplicate"]) == (200, False)
    assert (second.status_code, second.json["duplicate"]) == (200, True)
    assert second.json["reply"] == {"decision": "allow"}
    assert (second.json["by"], second.json["byName"]) == (people.bob.user.id, "bob")
    assert RunCommand.select().where(RunCommand.kind == "answer").count() == 1
    assert web.get("/api/human-loop/pending", people.bob.headers).json["items"] == []
    resolved = web.get(f"/api/human-loop/resolved?runId={run.id}", people.bob.headers).json["items"]
    assert [(item["outcome"], item["overdue"], item["byName"]) for item in resolved] == [("answered", False, "bob")]


def test_fifty_parallel_replies_give_one_answer(web: Web, people: Cast) -> None:
    request = factories.approval(factories.run(people.bob))
    answers: list[Any] = []

    def reply(decision: str) -> None:
        body = {"requestId": request.id, "decision": decision}
        answers.append(web.post("/api/human-loop/reply", people.bob.headers, json=body))

    threads = [threading.Thread(target=reply, args=(("allow", "deny")[number % 2],)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {200}
    assert sum(not answer.json["duplicate"] for answer in answers) == 1
    assert len({answer.json["reply"]["decision"] for answer in answers}) == 1


def test_a_reply_that_does_not_fit_is_refused(web: Web, people: Cast) -> None:
    request = factories.approval(factories.run(people.bob))
    for body in ({}, {"answers": {"q": ["x"]}}, {"decision": "perhaps"}):
        answer = web.post("/api/human-loop/reply", people.bob.headers, json={"requestId": request.id, **body})
        assert answer.status_code == 422
    assert HumanLoopRequest.get_by_id(request.id).status == "open"


@pytest.mark.parametrize(
    ("answers", "named"),
    [
        ({"q1": ["red"]}, "q2"),
        ({"q1": ["red"], "q2": []}, "q2"),
        ({"q1": [" "], "q2": ["S", "M"]}, "q1"),
        ({"q1": ["red", "blue"], "q2": ["S"]}, "q1"),
        ({"q1": ["red"], "q2": ["S"], "q3": ["x"]}, "q1, q2"),
        ({}, "q1, q2"),
    ],
)
def test_answers_that_do_not_fit_the_questions_are_refused_and_the_questions_named(
    web: Web, people: Cast, answers: dict[str, list[str]], named: str
) -> None:
    request = factories.questions(factories.run(people.bob))
    body = {"requestId": request.id, "answers": answers}

    refused = web.post("/api/human-loop/reply", people.bob.headers, json=body)

    assert (refused.status_code, refused.json["code"]) == (422, "reply_invalid")
    assert refused.json["remedy"].endswith(f": {named}.")
    assert HumanLoopRequest.get_by_id(request.id).status == "open"
    body["answers"] = {"q1": ["red"], "q2": ["S", "M"]}
    assert web.post("/api/human-loop/reply", people.bob.headers, json=body).status_code == 200


# --- bundles, providers, tokens, pages -----------------------------------------------------------------------------------------------


def test_a_bundle_is_stored_and_seeds_a_session(web: Web, people: Cast) -> None:
    upload = web.post("/api/bundles", people.bob.headers, data=BUNDLE, content_type="application/x-git-bundle")
    bundle = Bundle.get_by_id(upload.json["bundleId"])
    with web.container.store.get(bundle.object_key) as stored:
        assert stored.read() == BUNDLE
    started = web.post(
        "/api/runs/start",
        {**people.bob.headers, "Prefer": "respond-async"},
        json={"prompt": "x", "repo": {"bundleId": bundle.id, "ref": "main"}},
    )

    session = ChatSession.get_by_id(started.json["sessionId"])
    assert (session.bundle_id, session.repo_ref) == (bundle.id, "main")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 422, "bundle_invalid"),
        (b"PK\x03\x04", 422, "bundle_invalid"),
        (b"# v1 git bundle\n", 422, "bundle_invalid"),
        (BUNDLE + b"x" * 10_000, 413, "body_too_large"),
    ],
)
def test_another_upload_is_refused_and_leaves_nothing(
    web: Web, people: Cast, data: bytes, status: int, code: str
) -> None:
    answer = web.post("/api/bundles", people.bob.headers, data=data, content_type="application/octet-stream")

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert Bundle.select().count() == 0
    assert list(web.container.store.list_keys("")) == []


def test_providers_tell_what_they_can_and_lack(web: Web, people: Cast) -> None:
    items = {item["kind"]: item for item in web.get("/api/providers", people.bob.headers).json["items"]}
    preflight = web.post("/api/providers/claude-code/preflight", people.bob.headers).json

    assert items["scripted"]["ready"] is True
    assert items["scripted"]["capabilities"]["humanLoop"] is True
    assert items["claude-code"]["ready"] is False
    assert items["claude-code"]["remedy"]
    assert preflight["ok"] is False
    assert all(check["ok"] or check["remedy"] for check in preflight["checks"])
    unknown = web.post("/api/providers/nobody/preflight", people.bob.headers)
    assert (unknown.status_code, unknown.json["code"]) == (422, "provider_unknown")


def test_a_token_is_shown_once_works_and_is_revoked(web: Web, people: Cast) -> None:
    made = web.post("/api/tokens", people.bob.headers, json={"name": "ci", "expiresInSeconds": 3600}).json
    own = {"Authorization": f"Bearer {made['token']}"}
    listed = {item["tokenId"]: item for item in web.get("/api/tokens", own).json["items"]}

    assert made["token"].startswith(made["prefix"])
    assert made["token"].startswith("pdk_")
    assert "token" not in listed[made["tokenId"]]
    assert web.send("DELETE", f"/api/tokens/{made['tokenId']}", own).status_code == 200
    assert web.get("/api/me", own).status_code == 401


def test_the_document_describes_every_address_and_is_valid(web: Web) -> None:
    document = orjson.loads(web.get("/openapi.json").data)
    APISpec.model_validate(document)
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    served = {
        rule.endpoint.replace("<", "{").replace(">", "}") for rule in web.app.url_map.iter_rules() if not rule.websocket
    }

    assert described == served
    assert list(references(document)), "the document refers to schemas"
    assert set(references(document)) <= set(document["components"]["schemas"])
    assert "runId" in document["components"]["schemas"]["RunView"]["properties"]
    start = document["paths"]["/api/runs/start"]["post"]
    assert "Idempotency-Key" in {parameter["name"] for parameter in start["parameters"]}
    assert web.get("/openapi").status_code == 200


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rpartition("/")[2]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_runs_of_a_members_session_are_seen_by_its_owner_whoever_sent_them(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    started = web.post(
        "/api/runs/start",
        {**people.otto.headers, "Prefer": "respond-async"},
        json={"sessionId": session.id, "prompt": "from the operator"},
    )

    assert AgentRun.get_by_id(started.json["runId"]).user_id == people.otto.user.id
    assert web.get(f"/api/runs/{started.json['runId']}", people.bob.headers).status_code == 200
    assert web.get(f"/api/runs/{started.json['runId']}", people.mallory.headers).status_code == 404
