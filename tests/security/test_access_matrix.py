"""Every address × every identity is decided (promise S1): one table, and a test that fails on an address without a row.

An outcome is the status the address answers to somebody who asks properly. `charlie` is of another tenant, `mallory` of the same
tenant but owns nothing here. Anonymous people, and all credentials that no longer hold, get 401 wherever the row is not public.
"""

from __future__ import annotations

import inspect
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Response

from app.domain.permissions import Permission
from app.models import ApiToken
from app.services import worker_processes, worker_rows
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web
from web import portal
from web.routing import PORTAL_FILES, PUBLIC, PUBLIC_ROUTES, endpoints

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PEOPLE = ("alice", "otto", "bob", "mallory", "victor", "charlie")


@dataclass(frozen=True)
class Row:
    """What each of PEOPLE gets, in that order; `body` is what a proper request sends."""

    outcomes: tuple[int, ...]
    body: dict[str, Any] | None = None
    raw: bytes | None = None
    content_type: str = ""


ALL = (200,) * 6
SEEN = (200, 200, 200, 404, 200, 404)  # by the owner of the object and by those who see the whole tenant
DONE = (200, 200, 200, 404, 403, 404)  # an act on an object: a viewer sees it and may not
TAKEN = (202, 202, 202, 404, 403, 404)
ABSENT = (404, 404, 404, 404, 404, 404)
BUNDLE = b"# v2 git bundle\n" + b"\0" * 20

TABLE: dict[str, Row] = {
    "GET /api/me": Row(ALL),
    "POST /api/auth/logout": Row(ALL),
    "POST /api/auth/login-links": Row((201, 403, 403, 403, 403, 201)),
    "GET /api/tokens": Row(ALL),
    "POST /api/tokens": Row((201,) * 6, {"name": "mine"}),
    "DELETE /api/tokens/<token_id>": Row((404, 404, 200, 404, 404, 404)),
    "POST /api/bundles": Row((201, 201, 201, 201, 403, 201), raw=BUNDLE, content_type="application/x-git-bundle"),
    "GET /api/providers": Row(ALL),
    "POST /api/providers/<kind>/preflight": Row((200, 200, 200, 200, 403, 200)),
    "GET /api/chat-opencode-history": Row(ALL),
    "POST /api/chat-opencode-history": Row((201, 201, 201, 201, 403, 201), {"title": "x"}),
    "GET /api/chat-opencode-history/activity": Row(ALL),
    "GET /api/chat-opencode-history/<session_id>": Row(SEEN),
    "PUT /api/chat-opencode-history/<session_id>": Row(DONE, {"title": "y"}),
    "GET /api/chat-opencode-history/<session_id>/queue": Row(SEEN),
    "PUT /api/chat-opencode-history/<session_id>/read": Row(SEEN, {}),
    "DELETE /api/chat-opencode-history/<session_id>": Row((409, 409, 409, 404, 403, 404)),  # runs of it are open
    "GET /api/runs": Row(ALL),
    "POST /api/runs/start": Row((202, 202, 202, 202, 403, 202), {"prompt": "x", "timeoutMs": 0}),
    "GET /api/runs/<run_id>": Row(SEEN),
    "GET /api/runs/<run_id>/explain": Row(SEEN),
    "GET /api/task/<run_id>/trace/blobs/<blob_id>": Row(SEEN),
    "POST /api/runs/<run_id>/stop": Row(DONE),
    "POST /api/runs/<run_id>/input": Row((409, 409, 409, 404, 403, 404), {"text": "hurry", "timeoutMs": 0}),
    "POST /api/runs/stop-all": Row((200, 200, 403, 403, 403, 200)),
    "POST /api/runs/<run_id>/move": Row(DONE, {"before": "$other_run"}),
    "POST /api/runs/<run_id>/bind": Row(DONE, {"sessionId": "$session", "executorId": "ex-1"}),
    "POST /api/runs/<run_id>/callbacks": Row((401,) * 6),  # with the token alone that binding the run gave
    "GET /api/runs/<run_id>/callbacks": Row((401,) * 6),
    "GET /api/runs/<run_id>/stream": Row(SEEN),
    "GET /api/runs/<run_id>/events": Row(SEEN),
    "GET /api/runs/<run_id>/todos": Row(SEEN),
    "GET /api/runs/<run_id>/todos/events": Row(SEEN),
    "GET /api/runs/queue": Row(ALL),
    "GET /api/runs/queue/<run_id>": Row(SEEN),
    "POST /api/runs/queue/enqueue": Row((202, 202, 202, 202, 403, 202), {"prompt": "x"}),
    "GET /api/human-loop/pending": Row(ALL),
    "GET /api/human-loop/resolved": Row(ALL),
    "POST /api/human-loop/reply": Row((200, 200, 200, 404, 403, 404), {"requestId": "$request", "decision": "allow"}),
    "GET /api/policy": Row(ALL),
    "PUT /api/policy": Row((200, 200, 403, 403, 403, 200), {"deadlineSeconds": 60, "onDeadline": "deny"}),
    "GET /api/worker-processes": Row((200, 200, 403, 403, 403, 200)),
    "POST /api/worker-processes/<name>/drain": Row((202, 202, 403, 403, 403, 404), {"timeoutMs": 0}),
    "POST /api/worker-processes/<name>/undrain": Row((200, 200, 403, 403, 403, 404), {"timeoutMs": 0}),
    "GET /api/session-workers": Row(ALL),
    "GET /api/session-workers/<session_id>": Row(SEEN),
    "POST /api/session-workers/<session_id>/activate": Row(TAKEN, {"timeoutMs": 0}),
    "POST /api/session-workers/<session_id>/stop": Row(TAKEN, {"timeoutMs": 0}),
    "POST /api/session-workers/<session_id>/sync": Row(TAKEN, {"timeoutMs": 0}),
    "POST /api/reconcile/runs": Row((200, 200, 403, 403, 403, 200)),
    "POST /api/reconcile/sync": Row((200, 200, 403, 403, 403, 200)),
    "POST /api/runs/queue/drain": Row((202, 202, 403, 403, 403, 200), {"timeoutMs": 0}),  # bob's runs wait for a worker
    "POST /api/session-workers/cleanup/idle": Row((200, 200, 403, 403, 403, 200)),
    "POST /api/session-workers/cleanup/stopped": Row((200, 200, 403, 403, 403, 200)),
    "GET /api/session-workers/<session_id>/workspace/tree": Row(SEEN),
    "GET /api/session-workers/<session_id>/workspace/file": Row(ABSENT),  # nothing was ever written there
    "GET /api/session-workers/<session_id>/workspace/download": Row(SEEN),
    "GET /api/session-workers/<session_id>/workspace/diff": Row(SEEN),
    "GET /api/session-workers/<session_id>/workspace/snapshots": Row(SEEN),
    "WEBSOCKET /ws/runs/<run_id>": Row(SEEN),
}
QUERIES = {"GET /api/session-workers/<session_id>/workspace/file": "path=a.txt"}


@pytest.fixture
def web(
    database: object, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Web]:
    monkeypatch.setattr("web.socket.handshake", lambda _: Response())  # Flask's client cannot shake hands
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


class World:
    """bob's things, made anew for each request."""

    def __init__(self, web: Web, people: Cast) -> None:
        self.session = factories.session(people.bob)
        self.run = factories.run(people.bob, self.session)
        self.other_run = factories.run(people.bob, self.session)
        self.request = factories.approval(self.run, f"hlr_{uuid.uuid4().hex}")
        self.token = cast.identity.create_token(people.bob.user, "another")
        worker_rows.ensure(self.session)
        worker_processes.register("host:1:test", "runs")
        self.blob_id = factories.blob(self.run, web.container.store)

    def path(self, rule: str) -> str:
        values = {"run_id": self.run.id, "session_id": self.session.id, "token_id": self.token.id, "kind": "scripted"}
        values["blob_id"] = self.blob_id
        values["name"] = "host:1:test"
        return re.sub(r"<(\w+)>", lambda match: values[match[1]], rule)

    def body(self, body: dict[str, Any] | None) -> dict[str, Any] | None:
        known = {"$other_run": self.other_run.id, "$request": self.request.id, "$session": self.session.id}
        return {name: known.get(value, value) for name, value in body.items()} if body is not None else None


def ask(web: Web, world: World, name: str, headers: dict[str, str]) -> Any:
    method, _, rule = name.partition(" ")
    row = TABLE[name]
    options: dict[str, Any] = {"query_string": QUERIES.get(name, "")}
    if row.raw is not None:
        options |= {"data": row.raw, "content_type": row.content_type}
    elif row.body is not None:
        options["json"] = world.body(row.body)
    if method == "WEBSOCKET":
        shake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        headers = {**headers, **shake, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        options["base_url"] = f"ws://{web_support.HOST}"
        return web.send("GET", world.path(rule), headers, **options)
    answer = web.send(method, world.path(rule), headers, **options)
    answer.close()
    return answer


def test_every_address_has_a_row_and_every_row_an_address(web: Web) -> None:
    declared = {name for name, endpoint in endpoints(web.app).items() if endpoint.access != PUBLIC}
    served = {rule.endpoint for rule in web.app.url_map.iter_rules()}

    assert declared == set(TABLE)
    assert served == declared | PUBLIC_ROUTES
    assert len(PUBLIC_ROUTES - PORTAL_FILES) <= 8


def test_the_portal_s_files_are_given_by_views_that_see_nothing_else(web: Web) -> None:
    assert {endpoint.name for endpoint in portal.routes.endpoints} == PORTAL_FILES
    for endpoint in portal.routes.endpoints:
        assert (endpoint.access, endpoint.method, endpoint.body, endpoint.query) == (PUBLIC, "GET", None, None)
        assert set(inspect.signature(endpoint.view).parameters) <= {"name", "session_id"}, endpoint.name


@pytest.mark.parametrize("name", sorted(TABLE))
def test_each_person_gets_what_the_table_says(web: Web, people: Cast, name: str) -> None:
    got = {}
    for who in PEOPLE:
        got[who] = ask(web, World(web, people), name, getattr(people, who).headers).status_code

    assert got == dict(zip(PEOPLE, TABLE[name].outcomes, strict=True))


@pytest.mark.parametrize("name", sorted(TABLE))
def test_nobody_gets_in_with_what_does_not_hold(web: Web, people: Cast, name: str) -> None:
    world = World(web, people)
    bad = {
        "anonymous": {},
        "revoked": {"Authorization": f"Bearer {people.revoked}"},
        "expired": {"Authorization": f"Bearer {people.expired}"},
        "disabled": people.dora.headers,
        "made up": {"Authorization": "Bearer pdk_made-up"},
        "basic": {"Authorization": "Basic cGRrOnBkaw=="},
        "ended session": {"Cookie": f"paddock_session={people.ended_session}"},
        "token as cookie": {"Cookie": f"paddock_session={people.alice.token}"},
        "other header": {"X-Api-Key": people.alice.token},
    }
    got = {who: ask(web, world, name, headers) for who, headers in bad.items()}

    assert {who: answer.status_code for who, answer in got.items()} == dict.fromkeys(bad, 401)
    assert {answer.json["code"] for answer in got.values()} == {"unauthenticated"}


OF_OBJECTS = sorted(
    name for name, row in TABLE.items() if 404 in row.outcomes and "<" in name and not name.startswith("WEBSOCKET")
)


@pytest.mark.parametrize("name", OF_OBJECTS)
def test_a_foreign_object_is_byte_for_byte_as_if_absent(web: Web, people: Cast, name: str) -> None:
    method, _, rule = name.partition(" ")
    world = World(web, people)
    headers = {**people.charlie.headers, "X-Request-Id": "same"}
    foreign = ask(web, world, name, headers)
    row = TABLE[name]
    options: dict[str, Any] = {"json": world.body(row.body)} if row.body else {}
    options["query_string"] = QUERIES.get(name, "")
    absent = web.send(method, re.sub(r"<\w+>", "absent", rule), headers, **options)

    assert foreign.status_code == absent.status_code == 404
    assert foreign.data == absent.data
    assert dict(foreign.headers) == dict(absent.headers)


def test_a_token_in_the_address_opens_nothing(web: Web, people: Cast) -> None:
    for name in ("token", "access_token", "api_key", "authorization"):
        assert web.get(f"/api/me?{name}={people.alice.token}").status_code == 401
        assert web.get(f"/api/me?{name}={people.alice.token}", people.bob.headers).status_code == 422


def test_a_bad_token_does_not_fall_back_to_a_good_cookie(web: Web, people: Cast) -> None:
    good = {"Cookie": f"paddock_session={cast.web_session(people.alice.user)}"}

    assert web.get("/api/me", good).status_code == 200
    assert web.get("/api/me", {**good, "Authorization": "Bearer pdk_bad"}).status_code == 401


def test_a_member_acts_in_no_foreign_session_named_in_a_body(web: Web, people: Cast) -> None:
    world = World(web, people)
    for body in ({"sessionId": world.session.id}, {"chatId": world.session.id}):
        answer = web.post("/api/runs/start", people.mallory.headers, json={**body, "prompt": "x"})
        assert answer.status_code == 404


def test_a_bundle_of_another_tenant_seeds_nothing(web: Web, people: Cast) -> None:
    upload = web.post("/api/bundles", people.bob.headers, data=BUNDLE, content_type="application/octet-stream")
    body = {"prompt": "x", "repo": {"bundleId": upload.json["bundleId"]}}

    assert web.post("/api/runs/start", people.charlie.headers, json=body).status_code == 404


def test_each_permission_is_needed_somewhere(web: Web) -> None:
    needed = {endpoint.access for endpoint in endpoints(web.app).values()}

    assert set(Permission) - needed == set()


def test_a_route_without_a_declaration_keeps_the_app_from_starting(web: Web) -> None:
    from web import routing

    web.app._got_first_request = False
    web.app.add_url_rule("/api/backdoor", view_func=lambda: "open")
    with pytest.raises(RuntimeError, match="/api/backdoor"):
        routing.check(web.app)


def test_a_public_route_that_is_not_on_the_list_keeps_the_app_from_starting(web: Web) -> None:
    from web import routing

    routes = routing.Routes("more")
    routes.get("/api/peek", PUBLIC)(lambda: "open")
    web.app._got_first_request = False
    routing.register(web.app, routes)
    with pytest.raises(RuntimeError, match="GET /api/peek"):
        routing.check(web.app)


def test_a_revoked_token_is_useless_at_the_next_request(web: Web, people: Cast) -> None:
    assert web.get("/api/me", people.bob.headers).status_code == 200
    web.send("DELETE", f"/api/tokens/{people.bob.token_id}", people.bob.headers)

    assert web.get("/api/me", people.bob.headers).status_code == 401
    assert ApiToken.get_by_id(people.bob.token_id).revoked_at is not None
