"""Every error is a problem: the request's own form, addresses that are not there, defects, parts that are away."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from app import db
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

CHATS = "/api/chat-opencode-history"


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url, max_body_bytes=1000))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def check(answer: Any, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    problem = answer.json
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["requestId"] == answer.headers["X-Request-Id"]
    assert set(problem) >= {"type", "title", "status", "detail", "code", "requestId", "retryable", "remedy"}


def test_an_address_that_is_not_there(web: Web, people: Cast) -> None:
    for path in ("/api/nowhere", "/nowhere", "/api/runs/", "//api/runs", "/api/../etc/passwd", "/api/runs/x/stream/y"):
        check(web.get(path, people.bob.headers), 404, "not_found")


def test_a_method_that_an_address_does_not_know(web: Web, people: Cast) -> None:
    answer = web.send("PATCH", "/api/runs", people.bob.headers)

    check(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"{'a': 1}", b'{"title": NaN}', b'{"title": "\xff"}', b'{"a": "\\ud800"}'],
)
def test_a_body_that_is_no_json_object(web: Web, people: Cast, body: bytes) -> None:
    check(web.post(CHATS, people.bob.headers, data=body, content_type="application/json"), 400, "body_malformed")


def test_deep_nesting_is_refused_and_breaks_nothing(web: Web, people: Cast) -> None:
    for depth in (100, 450):
        body = b'{"title": ' + b"[" * depth + b"]" * depth + b"}"
        answer = web.post(CHATS, people.bob.headers, data=body, content_type="application/json")
        assert answer.status_code in (400, 422)


def test_a_body_that_is_too_large(web: Web, people: Cast) -> None:
    answer = web.post(CHATS, people.bob.headers, json={"title": "x" * 2000})

    check(answer, 413, "body_too_large")
    assert answer.json["remedy"]


def test_unknown_fields_are_named_and_values_are_not_repeated(web: Web, people: Cast) -> None:
    answer = web.post(CHATS, people.bob.headers, json={"title": 5, "passwort": "geheim", "tenantId": "tnt"})

    check(answer, 422, "validation_failed")
    assert {error["field"] for error in answer.json["errors"]} == {"title", "passwort", "tenantId"}
    assert "geheim" not in answer.text


def test_unknown_and_doubled_parameters_are_named(web: Web, people: Cast) -> None:
    for query in ("surprise=1", "limit=1&limit=2", "limit=0", "limit=501", "limit=x", "cursor=a%00b", "limit=1e2"):
        answer = web.get(f"/api/runs?{query}", people.bob.headers)
        check(answer, 422, "validation_failed")
        assert answer.json["errors"]
    check(web.get("/api/me?x=1", people.bob.headers), 422, "validation_failed")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ключ"])
def test_a_malformed_key_is_refused(web: Web, people: Cast, key: str) -> None:
    headers = {**people.bob.headers, "Idempotency-Key": key.encode().decode("latin-1") or " "}

    check(web.post(CHATS, headers, json={}), 400, "idempotency_key_malformed")


def test_every_post_with_an_effect_wants_a_key(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    bodies: dict[str, dict[str, Any]] = {
        CHATS: {},
        "/api/runs/start": {"prompt": "x"},
        "/api/runs/queue/enqueue": {"prompt": "x"},
        f"/api/runs/{run.id}/stop": {},
        f"/api/runs/{run.id}/move": {"before": "run_x"},
        f"/api/session-workers/{run.session_id}/activate": {},
        "/api/tokens": {"name": "x"},
        "/api/human-loop/reply": {"requestId": "hlr_x"},
        "/api/auth/logout": {},
    }
    for path, body in bodies.items():
        answer = web.post(path, {**people.bob.headers, "Idempotency-Key": ""}, json=body)
        check(answer, 400, "idempotency_key_missing")
    assert (
        web.post("/api/providers/scripted/preflight", {**people.bob.headers, "Idempotency-Key": ""}).status_code == 200
    )


def test_a_request_id_comes_back_if_it_is_one(web: Web, people: Cast) -> None:
    assert web.get("/api/me", {**people.bob.headers, "X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    made = web.get("/api/me", {**people.bob.headers, "X-Request-Id": "a b<script>"}).headers["X-Request-Id"]
    assert made.startswith("req_")


def test_a_defect_shows_a_request_id_and_nothing_else(web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("the secret is 42")

    monkeypatch.setattr("app.services.run_lists.list_page", broken)
    answer = web.get("/api/runs", people.bob.headers)

    check(answer, 500, "internal")
    assert "42" not in answer.text
    assert "ZeroDivision" not in answer.text


def test_a_database_that_is_away_is_503_and_retryable(web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    import peewee

    def away(*_: Any, **__: Any) -> None:
        raise peewee.OperationalError("server closed the connection")

    monkeypatch.setattr("app.services.run_lists.list_page", away)
    answer = web.get("/api/runs", people.bob.headers)

    check(answer, 503, "database_unavailable")
    assert answer.json["retryable"] is True
    assert answer.headers["Retry-After"] == "1"


def test_a_browser_gets_a_problem_as_a_page(web: Web) -> None:
    accept = {"Accept": "text/html,*/*;q=0.8", "Origin": f"http://{web_support.HOST}"}
    answer = web.post("/login", accept, data={"code": "made-up"})

    assert answer.status_code == 401
    assert answer.content_type.startswith("text/html")
    assert "paddock login-link" in answer.text
    assert web.get("/api/me", {"Accept": "text/html"}).content_type == "application/problem+json"


def test_answers_carry_the_headers_that_keep_browsers_from_guessing(web: Web, people: Cast) -> None:
    for path in ("/api/me", "/health", "/nowhere", "/login", "/openapi"):
        headers = web.get(path, people.bob.headers).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]


def test_the_connection_to_the_database_is_given_back_after_each_request(web: Web, people: Cast) -> None:
    web.get("/api/runs", people.bob.headers)

    assert db.proxy.obj.is_closed()


def test_health_readiness_and_metrics_need_nobody_and_tell_nothing_about_tenants(web: Web, people: Cast) -> None:
    factories.run(people.bob, prompt=f"secret {uuid.uuid4().hex}")
    assert web.get("/health").json["status"] == "ok"
    ready = web.get("/ready").json
    assert {name: check["status"] for name, check in ready["checks"].items()} == dict.fromkeys(
        ("database", "redis", "objectStore", "hub"), "ok"
    )
    metrics = web.get("/metrics").text
    assert "paddock_queue_depth 1" in metrics
    assert 'paddock_runs{status="queued"} 1' in metrics
    assert people.bob.user.tenant_id not in metrics


def test_ready_names_the_part_that_does_not_answer(
    database: object, database_url: str, own_redis: Any, tmp_path: Path
) -> None:
    web = web_support.make(web_support.settings_of(tmp_path / "var", database_url, own_redis.url))
    own_redis.stop()
    answer = web.get("/ready")

    assert answer.status_code == 503
    assert [name for name, check in answer.json["checks"].items() if check["status"] != "ok"] == ["redis"]
