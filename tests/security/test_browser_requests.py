"""What a browser can be made to send: CSRF, Origin, Host, CORS, cookies, login (promises S5, S7, S8)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import db
from app.models import IdempotencyKey, LoginLink, WebSession
from app.services import identity
from tests import cast
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.redis import RedisServer
from tests.support.web import HOST, Web

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

OURS = f"http://{HOST}"
CREATE = "/api/chat-opencode-history"


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


class Browser:
    """bob, logged in by cookie."""

    def __init__(self, web: Web, people: Cast) -> None:
        self._web = web
        self.cookie = f"paddock_session={cast.web_session(people.bob.user)}"
        self.csrf = web.get("/api/me", {"Cookie": self.cookie}).json["csrfToken"]

    def create(self, **headers: str | None) -> Any:
        given = {"Cookie": self.cookie, "Origin": OURS, "X-CSRF-Token": self.csrf, **headers}
        sent = {name: value for name, value in given.items() if value is not None}
        return self._web.post(CREATE, sent, json={"title": "x"})


def test_our_own_page_may(web: Web, people: Cast) -> None:
    assert Browser(web, people).create().status_code == 201


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://127.0.0.1:8000",
        "http://127.0.0.1",
        "http://127.0.0.1:8001",
        "http://localhost:8000",
        "http://127.0.0.1:8000.evil.example",
        "http://evil.example",
        "http://evil.example/127.0.0.1:8000",
        "http://127.0.0.1:8000@evil.example",
        "HTTP://127.0.0.1:8000/",
        "",
    ],
)
def test_a_cookie_from_another_page_is_refused(web: Web, people: Cast, origin: str | None) -> None:
    answer = Browser(web, people).create(Origin=origin)

    assert (answer.status_code, answer.json["code"]) == (403, "origin_refused")


@pytest.mark.parametrize("token", [None, "", "x", "null"])
def test_a_cookie_without_the_csrf_token_is_refused(web: Web, people: Cast, token: str | None) -> None:
    answer = Browser(web, people).create(**{"X-CSRF-Token": token})

    assert (answer.status_code, answer.json["code"]) == (403, "csrf_failed")


def test_another_sessions_csrf_token_is_refused(web: Web, people: Cast) -> None:
    other = Browser(web, people)

    assert Browser(web, people).create(**{"X-CSRF-Token": other.csrf}).status_code == 403


def test_a_method_override_changes_nothing(web: Web, people: Cast) -> None:
    cookie = {"Cookie": Browser(web, people).cookie, "X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}

    answer = web.get(f"{CREATE}?_method=POST", cookie)

    assert answer.status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_json_in_another_content_type_is_not_read(web: Web, people: Cast, content_type: str) -> None:
    answer = web.post(CREATE, people.bob.headers, data=b'{"title": "x"}', content_type=content_type)

    assert (answer.status_code, answer.json["code"]) == (415, "unsupported_media_type")


def test_a_json_body_that_claims_to_be_a_file_upload_is_refused(web: Web, people: Cast) -> None:
    claim = {"files": {"file": {"filepath": "/etc/passwd", "originalFilename": "x"}}}

    assert web.post("/api/bundles", people.bob.headers, json=claim).status_code == 415
    assert web.post(CREATE, people.bob.headers, json=claim).status_code == 422


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (HOST, 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example:8000", 421),
        ("0.0.0.0:8000", 421),
        ("10.0.0.1:8000", 421),
        ("127.0.0.1:8000@evil.example", 421),
        ("", 421),
    ],
)
def test_only_our_own_host_is_served(web: Web, people: Cast, host: str, status: int) -> None:
    for path in ("/api/me", "/health", "/nowhere"):
        answer = web.get(path, {**people.bob.headers, "Host": host})
        assert answer.status_code == (404 if path == "/nowhere" and status == 200 else status)


def test_no_origin_is_ever_allowed_to_read(web: Web, people: Cast) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        for origin in ("http://evil.example", "null", OURS):
            answer = web.send(method, CREATE, {"Origin": origin, "Access-Control-Request-Method": "POST"})
            assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


def test_a_websocket_by_cookie_needs_our_origin_exactly(web: Web, people: Cast) -> None:
    cookie = {"Cookie": Browser(web, people).cookie, "Upgrade": "websocket", "Connection": "Upgrade"}
    for origin in (None, "null", "https://127.0.0.1:8000", "http://sub.127.0.0.1:8000", "http://127.0.0.1:80"):
        headers = {**cookie, **({"Origin": origin} if origin else {})}
        answer = web.get("/ws/runs/run_x", headers, base_url=f"ws://{HOST}")
        assert answer.status_code == 403
    answer = web.get("/ws/runs/run_x", {**cookie, "Origin": OURS}, base_url=f"ws://{HOST}")
    assert answer.status_code == 404


# --- logging in and out --------------------------------------------------------------------------------------------------------


def log_in(client: FlaskClient, **headers: str) -> Any:
    link = identity.create_login_link(identity.User.get(identity.User.name == "bob"))
    sent = {"Host": HOST, "Origin": OURS, **headers}
    return client.post("/login", headers=sent, data={"code": link.value})


def test_looking_at_a_link_does_not_use_it_up(web: Web, people: Cast) -> None:
    code = identity.create_login_link(people.bob.user).value

    page = web.get(f"/login?code={code}")

    assert page.status_code == 200
    assert code in page.text
    assert "Set-Cookie" not in page.headers
    assert "script" not in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert LoginLink.get(LoginLink.user_id == people.bob.user.id, LoginLink.used_at.is_null())


def test_a_link_logs_in_once_and_its_cookie_is_locked_down(web: Web, people: Cast) -> None:
    code = identity.create_login_link(people.bob.user).value
    sent = {"Origin": OURS}

    first = web.post("/login", sent, data={"code": code})
    second = web.post("/login", sent, data={"code": code})

    cookie = first.headers["Set-Cookie"]
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Secure" not in cookie
    assert second.status_code == 401
    assert "Set-Cookie" not in second.headers


def test_an_expired_link_does_not_log_in(web: Web, people: Cast) -> None:
    code = identity.create_login_link(people.bob.user, seconds=-1).value

    assert web.post("/login", {"Origin": OURS}, data={"code": code}).status_code == 401


def test_a_login_from_another_page_is_refused_and_keeps_the_link(web: Web, people: Cast) -> None:
    code = identity.create_login_link(people.bob.user).value
    for origin in ({}, {"Origin": "null"}, {"Origin": "http://evil.example"}):
        assert web.post("/login", origin, data={"code": code}).status_code == 403

    assert web.post("/login", {"Origin": OURS}, data={"code": code}).status_code == 303


def test_a_public_https_address_gets_a_host_locked_secure_cookie(
    database: object, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    settings = web_support.settings_of(tmp_path / "var", database_url, redis_url, public_url="https://paddock.example")
    web = web_support.make(settings)
    people = cast.assemble()
    answer = web.post(
        "/api/auth/login",
        {"Host": "paddock.example", "Origin": "https://paddock.example"},
        json={"token": people.bob.token},
    )

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-paddock=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    secret = cookie.partition("=")[2].partition(";")[0]
    assert web.get("/api/me", {"Host": "paddock.example", "Cookie": f"__Host-paddock={secret}"}).status_code == 200
    assert web.get("/api/me", {"Host": "paddock.example", "Cookie": f"paddock_session={secret}"}).status_code == 401


def test_login_rotates_and_logout_kills_the_session_at_the_server(web: Web, people: Cast) -> None:
    client = web.app.test_client()
    log_in(client)
    first = client.get_cookie("paddock_session", domain="127.0.0.1")
    log_in(client)
    second = client.get_cookie("paddock_session", domain="127.0.0.1")

    assert first is not None
    assert second is not None
    assert first.value != second.value
    assert web.get("/api/me", {"Cookie": f"paddock_session={first.value}"}).status_code == 401
    mine = {"Cookie": f"paddock_session={second.value}"}
    csrf = web.get("/api/me", mine).json["csrfToken"]
    out = web.post("/api/auth/logout", {**mine, "Origin": OURS, "X-CSRF-Token": csrf})

    assert out.status_code == 200
    cleared = out.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=0"} <= set(cleared.split("; "))
    assert web.get("/api/me", mine).status_code == 401


def test_a_session_that_nobody_used_for_a_day_is_over(web: Web, people: Cast) -> None:
    mine = {"Cookie": f"paddock_session={cast.web_session(people.bob.user)}"}
    WebSession.update(last_seen_at=db.now() - identity.WEB_SESSION_IDLE_SECONDS - 1).execute()

    assert web.get("/api/me", mine).status_code == 401


def test_guessing_is_stopped_after_ten_tries(web: Web, people: Cast) -> None:
    answers = [web.post("/api/auth/login", json={"token": f"pdk_guess{number}"}).status_code for number in range(30)]

    assert answers == [401] * 10 + [429] * 20
    held_off = web.post("/api/auth/login", json={"token": people.bob.token})
    assert held_off.status_code == 429
    assert int(held_off.headers["Retry-After"]) > 0


def test_good_logins_are_not_counted_as_guesses(web: Web, people: Cast) -> None:
    answers = {web.post("/api/auth/login", json={"token": people.bob.token}).status_code for _ in range(30)}

    assert answers == {200}


def test_login_is_closed_while_nobody_can_count_and_reading_is_open(
    database: object, database_url: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    web = web_support.make(web_support.settings_of(tmp_path / "var", database_url, own_redis.url))
    people = cast.assemble()
    own_redis.stop()

    login = web.post("/api/auth/login", json={"token": people.bob.token})

    assert (login.status_code, login.json["code"]) == (503, "login_closed")
    assert web.get("/api/runs", people.bob.headers).status_code == 200


def test_secrets_are_not_in_the_database(web: Web, people: Cast) -> None:
    made = web.post("/api/tokens", people.bob.headers, json={"name": "x"}).json["token"]
    link = web.post("/api/auth/login-links", people.alice.headers).json["url"].partition("code=")[2]
    secret = cast.web_session(people.bob.user)
    tables = (identity.ApiToken, identity.LoginLink, WebSession, IdempotencyKey)
    dump = repr([list(table.select().dicts()) for table in tables])

    for value in (people.bob.token, made, link, secret):
        assert value not in dump


def test_a_replayed_token_creation_lacks_the_token(web: Web, people: Cast) -> None:
    key = {**people.bob.headers, "Idempotency-Key": "k"}
    first = web.post("/api/tokens", key, json={"name": "x"})
    again = web.post("/api/tokens", key, json={"name": "x"})

    assert again.headers["Idempotent-Replay"] == "true"
    assert again.json["tokenId"] == first.json["tokenId"]
    assert "token" not in again.json
