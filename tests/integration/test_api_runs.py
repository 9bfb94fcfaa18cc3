"""Runs over HTTP: creation, reading, stopping, moving, the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.run_state import RunStatus
from app.models import AgentRun, ChatSession, RunCommand
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


def start(web: Web, who: cast.Person, body: dict[str, object], **headers: str):
    return web.post("/api/runs/start", {**who.headers, "Prefer": "respond-async", **headers}, json=body)


def test_a_run_is_created_and_answered_with_its_place(web: Web, people: Cast) -> None:
    answer = start(web, people.bob, {"provider": "scripted", "prompt": "hello"})

    assert answer.status_code == 202
    assert answer.json is not None
    run = AgentRun.get_by_id(answer.json["runId"])
    assert answer.headers["Location"] == f"/api/runs/{run.id}"
    assert answer.json["sessionId"] == run.session_id
    assert answer.json["status"] == "queued"
    assert answer.json["waitingFor"]["reason"] == "no_worker"
    assert web.bell.rung == ["runs"]


@pytest.mark.parametrize(
    ("headers", "trace_id"),
    [
        ({"traceparent": f"00-{'4b' * 16}-{'a1' * 8}-01"}, "4b" * 16),
        ({"traceparent": f"00-{'4b' * 16}-{'a1' * 8}-01", "X-Trace-Id": "mine-12345"}, "4b" * 16),
        ({"X-Trace-Id": "mine-12345"}, "mine-12345"),
        ({"traceparent": f"00-{'0' * 32}-{'a1' * 8}-01"}, None),
        ({"traceparent": f"ff-{'4b' * 16}-{'a1' * 8}-01"}, None),
        ({"traceparent": "rubbish"}, None),
    ],
)
def test_the_callers_trace_goes_on(web: Web, people: Cast, headers: dict[str, str], trace_id: str | None) -> None:
    answer = start(web, people.bob, {"provider": "scripted", "prompt": "hello"}, **headers)
    assert answer.json is not None
    found = AgentRun.get_by_id(answer.json["runId"]).trace_id
    assert found == trace_id or (trace_id is None and found.startswith("trc_"))


def test_the_same_key_gives_the_same_answer_and_one_run(web: Web, people: Cast) -> None:
    first = start(web, people.bob, {"prompt": "hello"}, **{"Idempotency-Key": "k"})
    again = start(web, people.bob, {"prompt": "hello"}, **{"Idempotency-Key": "k"})

    assert again.status_code == first.status_code
    assert again.data == first.data
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotent-Replay" not in first.headers
    assert AgentRun.select().count() == 1


def test_the_same_key_with_another_body_is_refused(web: Web, people: Cast) -> None:
    start(web, people.bob, {"prompt": "hello"}, **{"Idempotency-Key": "k"})
    other = start(web, people.bob, {"prompt": "something else"}, **{"Idempotency-Key": "k"})

    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")


def test_keys_of_two_people_do_not_meet(web: Web, people: Cast) -> None:
    start(web, people.bob, {"prompt": "hello"}, **{"Idempotency-Key": "k"})
    start(web, people.mallory, {"prompt": "hello"}, **{"Idempotency-Key": "k"})

    assert AgentRun.select().count() == 2


def test_a_refused_creation_leaves_its_key_free_and_nothing_behind(web: Web, people: Cast) -> None:
    refused = start(web, people.bob, {"prompt": "hello", "provider": "nobody"}, **{"Idempotency-Key": "k"})
    assert (refused.status_code, refused.json["code"]) == (422, "provider_unknown")
    assert ChatSession.select().count() == 0

    mended = start(web, people.bob, {"prompt": "hello"}, **{"Idempotency-Key": "k"})
    assert mended.status_code == 202


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "prompt_empty"),
        ({"prompt": "   "}, "prompt_empty"),
        ({"prompt": "x", "surprise": 1}, "validation_failed"),
        ({"prompt": 7}, "validation_failed"),
        ({"prompt": "x", "onBusy": "explode"}, "validation_failed"),
        ({"prompt": "x", "priority": True}, "validation_failed"),
        ({"prompt": "x\u0000y"}, "validation_failed"),
        ({"prompt": "x", "model": "a model\n"}, "validation_failed"),
        ({"prompt": "x", "messages": []}, "validation_failed"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "prompt_empty"),
        ({"prompt": "x", "providerOptions": {"tools": []}}, "option_not_supported"),
        ({"prompt": "x", "providerOptions": {"cwd": "/workspace", "approval": "all"}}, "option_not_supported"),
        ({"prompt": "x", "providerOptions": {"profile": "fast"}}, "option_not_supported"),
        ({"prompt": "x", "provider": "external", "budget": {"maxTokens": 1}}, "budget_not_supported"),
        ({"prompt": "x", "budget": {"maxSeconds": 9, "maxCostUsd": 0}}, "validation_failed"),
        ({"prompt": "x", "repo": {}}, "validation_failed"),
        ({"prompt": "x", "repo": {"url": "http://github.com/a/b"}}, "repo_address_refused"),
        ({"prompt": "x", "repo": {"url": "https://127.0.0.1/a/b"}}, "repo_address_refused"),
        ({"prompt": "x", "repo": {"url": "https://github.com/a/b", "ref": "--upload-pack=x"}}, "repo_ref_invalid"),
        ({"prompt": "x", "provider": "claude-code"}, None),
    ],
)
def test_bad_input_is_named_and_makes_nothing(
    web: Web, people: Cast, body: dict[str, object], code: str | None
) -> None:
    answer = start(web, people.bob, body)

    assert answer.status_code == 422
    assert answer.content_type == "application/problem+json"
    assert answer.json["remedy"]
    assert answer.json["code"] == code if code else answer.json["code"] in ("provider_not_ready", "auth_missing")
    assert AgentRun.select().count() == 0
    assert ChatSession.select().count() == 0


def test_messages_in_both_forms_give_their_last_user_text(web: Web, people: Cast) -> None:
    ui = [{"role": "user", "parts": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}]
    openai = [
        {"role": "user", "content": "earlier"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "later"},
    ]

    for messages, prompt in ((ui, "one\ntwo"), (openai, "later")):
        answer = start(web, people.bob, {"messages": messages})
        assert AgentRun.get_by_id(answer.json["runId"]).prompt == prompt


def test_a_busy_session_is_refused_on_request(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    factories.run(people.bob, session)

    answer = start(web, people.bob, {"sessionId": session.id, "prompt": "x", "onBusy": "reject"})

    assert (answer.status_code, answer.json["code"]) == (409, "session_busy")


def test_a_foreign_session_in_the_body_is_as_if_absent(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)

    for who in (people.charlie, people.mallory):
        foreign = start(web, who, {"sessionId": session.id, "prompt": "x"}, **{"X-Request-Id": "r"})
        absent = start(web, who, {"sessionId": "ses_none", "prompt": "x"}, **{"X-Request-Id": "r"})
        assert foreign.status_code == 404
        assert foreign.data == absent.data


def test_a_start_that_waits_returns_the_aggregate_or_202(web: Web, people: Cast) -> None:
    answer = web.post("/api/runs/start", people.bob.headers, json={"prompt": "x", "timeoutMs": 0})

    assert answer.status_code == 202
    assert answer.json["status"] == "queued"


def test_lists_are_pages_and_hold_what_one_may_see(web: Web, people: Cast) -> None:
    runs = [factories.run(people.bob) for _ in range(3)]
    factories.run(people.mallory)

    first = web.get("/api/runs?limit=2", people.bob.headers).json
    second = web.get(f"/api/runs?limit=2&cursor={first['nextCursor']}", people.bob.headers).json

    assert [item["runId"] for item in first["items"] + second["items"]] == [run.id for run in reversed(runs)]
    assert second["nextCursor"] is None
    assert len(web.get("/api/runs", people.otto.headers).json["items"]) == 4
    assert web.get("/api/runs", people.charlie.headers).json["items"] == []


@pytest.mark.parametrize("cursor", ["x", "%00", "WyJ4IiwxXQ", "null", "1' OR 1=1"])
def test_a_malformed_cursor_is_refused_wherever_one_is_taken(web: Web, people: Cast, cursor: str) -> None:
    run = factories.run(people.bob)
    for path in ("/api/runs", "/api/human-loop/pending", "/api/chat-opencode-history", f"/api/runs/{run.id}/events"):
        answer = web.get(f"{path}?cursor={cursor}", people.bob.headers)
        assert answer.status_code == 422
        assert answer.json["code"] in ("cursor_malformed", "validation_failed")


def test_stop_is_a_wish_that_is_shown_at_once(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)

    answer = web.post(f"/api/runs/{run.id}/stop", people.bob.headers)

    assert answer.status_code == 200
    assert "stopRequestedAt" in answer.json
    assert RunCommand.get(RunCommand.run_id == run.id).kind == "stop"
    assert f"command:{run.id}" in web.bell.rung


def test_a_queued_run_changes_places_with_another_of_its_session(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    first, second = factories.run(people.bob, session), factories.run(people.bob, session)

    answer = web.post(f"/api/runs/{second.id}/move", people.bob.headers, json={"before": first.id})

    assert answer.status_code == 200
    assert AgentRun.get_by_id(second.id).session_seq < AgentRun.get_by_id(first.id).session_seq


def test_the_queue_shows_depth_place_and_lease(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    factories.run(people.bob, session)
    second = factories.run(people.bob, session)

    assert web.get("/api/runs/queue", people.bob.headers).json["depth"] == 2
    item = web.get(f"/api/runs/queue/{second.id}", people.bob.headers).json
    assert item["position"] == 1
    assert item["waitingFor"]["reason"] == "session_busy"


def test_a_known_run_id_is_enqueued_once(web: Web, people: Cast) -> None:
    body = {"runId": "run_mine", "prompt": "x"}
    first = web.post("/api/runs/queue/enqueue", people.bob.headers, json=body)
    again = web.post("/api/runs/queue/enqueue", people.bob.headers, json=body)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json["runId"] == again.json["runId"] == "run_mine"


def test_a_run_id_of_others_is_only_a_name_that_is_taken(web: Web, people: Cast) -> None:
    body = {"runId": "run_mine", "prompt": "x"}
    assert web.post("/api/runs/queue/enqueue", people.bob.headers, json=body).status_code == 202
    strangers = (people.charlie, people.mallory)  # of another tenant, and of the same one

    answers = [web.post("/api/runs/queue/enqueue", person.headers, json=body) for person in strangers]
    body["providerOptions"] = {"tools": []}
    wrong = [web.post("/api/runs/queue/enqueue", person.headers, json=body) for person in strangers]

    assert {(answer.status_code, answer.json["code"], answer.json["detail"]) for answer in answers} == {
        (409, "run_exists", "This runId cannot be used.")
    }
    assert {answer.json["code"] for answer in wrong} == {"option_not_supported"}  # as with an id that is free
    assert AgentRun.select().count() == 1


def test_events_are_read_in_pages(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)

    page = web.get(f"/api/runs/{run.id}/events", people.bob.headers).json

    assert [item["type"] for item in page["items"]] == ["run.status"]
    assert page["items"][0]["id"] == f"evt_{run.id}_1"
    assert page["nextCursor"] == "1"
    assert web.get(f"/api/runs/{run.id}/events?cursor=1", people.bob.headers).json["items"] == []


def test_todos_of_a_run_without_any_are_an_empty_list(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)

    assert web.get(f"/api/runs/{run.id}/todos", people.bob.headers).json["todos"] == []
    assert web.get(f"/api/runs/{run.id}/todos/events", people.bob.headers).json["items"] == []


def test_a_run_reads_with_the_fields_of_the_contract(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)

    shown = web.get(f"/api/runs/{run.id}", people.bob.headers).json

    contract = "runId sessionId taskId status attempt provider model prompt waitingFor usage lastSeq createdAt"
    assert set(contract.split()) <= set(shown)
    assert shown["status"] == RunStatus.QUEUED
