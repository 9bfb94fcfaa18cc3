"""Every POST with an effect wants an Idempotency-Key and answers the same again (SPEC §4): all routes of the application, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.permissions import Permission
from app.domain.run_state import RunStatus
from app.models import AgentRun, IdempotencyKey
from tests import cast
from tests.cast import Cast
from tests.security.test_access_matrix import TABLE, World
from tests.support import web as web_support
from tests.support.web import Web
from web.routing import endpoints

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

WITHOUT_KEY = {
    # logging in
    "POST /login",
    "POST /api/auth/login",
    # callbacks, whose key is their eventId
    "POST /api/runs/<run_id>/callbacks",
    # questions
    "POST /api/runs/restore-plan",
    "POST /api/providers/<kind>/preflight",
    "POST /api/policy/simulate",
}
"""Word by word the POSTs that need none."""

KEYED = sorted(name for name in TABLE if name.startswith("POST ") and name not in WITHOUT_KEY)


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def post(web: Web, world: World, name: str, headers: dict[str, str], body: dict[str, Any] | None = None) -> Any:
    row = TABLE[name]
    options: dict[str, Any] = {}
    if row.raw is not None and body is None:
        options |= {"data": row.raw, "content_type": row.content_type}
    elif row.body is not None or body is not None:
        options["json"] = world.body(row.body if body is None else body)
    return web.post(world.path(name.removeprefix("POST ")), headers, **options)


def owner_of(people: Cast, name: str) -> dict[str, str]:
    """Return somebody who may do it."""
    outcomes = dict(zip(("alice", "otto", "bob"), TABLE[name].outcomes, strict=False))
    who = next((name for name, status in outcomes.items() if status < 300), "bob")
    headers: dict[str, str] = getattr(people, who).headers
    return headers


def test_only_these_need_none(web: Web) -> None:
    declared = endpoints(web.app)
    posts = {name for name in declared if name.startswith("POST ")}
    assert {name for name in posts if not declared[name].keyed} == WITHOUT_KEY & posts
    assert set(KEYED) == {name for name in posts if declared[name].keyed}


@pytest.mark.parametrize("name", KEYED)
def test_each_other_one_keeps_to_its_key(web: Web, people: Cast, name: str) -> None:
    world, headers = World(web, people), owner_of(people, name)
    if name == "POST /api/runs/<run_id>/input":  # there is nobody to tell before it runs
        AgentRun.update(status=RunStatus.RUNNING).where(AgentRun.id == world.run.id).execute()
    without = post(web, world, name, {**headers, "Idempotency-Key": ""})
    assert (without.status_code, without.json["code"]) == (400, "idempotency_key_missing")
    assert IdempotencyKey.select().count() == 0

    keyed = {**headers, "Idempotency-Key": "one"}
    first, again = (post(web, world, name, keyed) for _ in range(2))
    assert first.status_code < 300
    assert again.status_code == first.status_code
    hidden = endpoints(web.app)[name].options.hide  # secrets are shown once, or made anew
    assert _without(again.json, hidden) == _without(first.json, hidden)
    assert "Idempotent-Replay" not in first.headers
    assert again.headers["Idempotent-Replay"] == "true"
    assert again.headers.get("Location") == first.headers.get("Location")

    refused = [post(web, world, name, keyed, {**(TABLE[name].body or {}), **other}) for other in OTHER]
    codes = {
        (answer.status_code, answer.json["code"]) for answer in refused if answer.json["code"] != "validation_failed"
    }
    assert codes == (set() if name in TAKES_NO_OTHER else {(422, "idempotency_key_reused")})


OTHER: tuple[dict[str, Any], ...] = (
    {"timeoutMs": 1},
    {"title": "another"},
    {"reason": "another"},
    {"name": "another"},
    {"user": "another"},
    {"before": "another"},
    {"message": "another"},
    {"executorId": "another"},
)
"""Changes of a body, of which each route takes at least one."""
TAKES_NO_OTHER = {"POST /api/auth/logout"}
"""Those that take no body at all."""


def _without(body: dict[str, Any], hidden: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in hidden}


def test_a_key_that_had_its_time_is_a_new_requests(web: Web, people: Cast) -> None:
    world, headers = World(web, people), {**people.bob.headers, "Idempotency-Key": "one"}
    name = "POST /api/runs/queue/enqueue"
    first = post(web, world, name, headers, {"prompt": "x"})
    IdempotencyKey.update(created_at=IdempotencyKey.created_at - web.container.settings.idempotency_seconds).execute()
    again = post(web, world, name, headers, {"prompt": "another body too"})
    assert again.status_code == 202
    assert again.json["runId"] != first.json["runId"]
    assert "Idempotent-Replay" not in again.headers
    assert post(web, world, name, headers, {"prompt": "another body too"}).json["runId"] == again.json["runId"]


def test_an_expired_key_whose_request_never_ended_does_not_block(web: Web, people: Cast) -> None:
    world, headers = World(web, people), {**people.bob.headers, "Idempotency-Key": "one"}
    post(web, world, "POST /api/runs/queue/enqueue", headers, {"prompt": "x"})
    IdempotencyKey.update(status_code=None, answer={"holder": "elsewhere 1 1"}, created_at=1.0).execute()
    assert post(web, world, "POST /api/runs/queue/enqueue", headers, {"prompt": "y"}).status_code == 202


def test_permissions_are_asked_before_the_key_is_kept(web: Web, people: Cast) -> None:
    world = World(web, people)
    headers = {**people.victor.headers, "Idempotency-Key": "one"}
    refused = post(web, world, "POST /api/runs/stop-all", headers)
    assert (refused.status_code, refused.json["code"]) == (403, "permission_missing")
    assert str(Permission.RUN_STOP_ALL) in refused.json["detail"]
    assert IdempotencyKey.select().count() == 0
