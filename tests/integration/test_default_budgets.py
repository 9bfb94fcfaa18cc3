"""What a run may use that names no budget: the session's policy, the tenant's, the installation's settings, in this order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peewee
import pytest

from app.models import AgentRun
from tests.cast import Cast, Person, assemble
from tests.support.web import Web, make, settings_of


@pytest.fixture
def web(tmp_path: Path, database_url: str, redis_url: str) -> Web:
    return make(settings_of(tmp_path / "var", database_url, redis_url, budget_usd=9.0, budget_seconds=600.0))


@pytest.fixture
def people(web: Web, database: peewee.Database) -> Cast:
    return assemble()


def budget_of(web: Web, person: Person, **body: Any) -> tuple[dict[str, float], str]:
    """Return the budget of a new run of a person's, and its session."""
    headers = {**person.headers, "Prefer": "respond-async"}
    made = web.post("/api/runs/start", headers, json={"prompt": "hello", "provider": "scripted", **body}).json
    run = AgentRun.get_by_id(made["runId"])
    return run.options["budget"], run.session_id


def put(web: Web, person: Person, **body: Any) -> int:
    return web.send("PUT", "/api/policy", person.headers, json=body).status_code


def test_the_narrower_scope_decides_each_limit_for_itself(web: Web, people: Cast) -> None:
    first, session = budget_of(web, people.bob)
    assert first == {"maxCostUsd": 9.0, "maxSeconds": 600.0}
    assert put(web, people.otto, budget={"maxCostUsd": 0.5, "maxTokens": 10_000}) == 200
    assert put(web, people.alice, sessionId=session, budget={"maxTokens": 50}) == 200
    assert budget_of(web, people.bob)[0] == {"maxCostUsd": 0.5, "maxTokens": 10_000, "maxSeconds": 600.0}
    within, _ = budget_of(web, people.bob, sessionId=session)
    assert within == {"maxCostUsd": 0.5, "maxTokens": 50, "maxSeconds": 600.0}
    own, _ = budget_of(web, people.bob, sessionId=session, budget={"maxTokens": 7})
    assert own == {"maxCostUsd": 0.5, "maxTokens": 7, "maxSeconds": 600.0}
    assert budget_of(web, people.charlie)[0] == first, "it is another tenant's"
    read = web.get(f"/api/policy?sessionId={session}", people.alice.headers).json
    assert read["own"]["budget"] == {"maxTokens": 50}
    assert read["effective"]["budget"] == {"maxTokens": 50, "maxCostUsd": 0.5}
    assert put(web, people.otto) == 200  # nothing is laid down any more
    assert budget_of(web, people.bob)[0] == first


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_members_and_viewers_set_none(web: Web, people: Cast) -> None:
    for person in (people.bob, people.victor):
        assert put(web, person, budget={"maxTokens": 10}) == 403
    for wrong in ({"maxTokens": 0}, {"maxCostUsd": -1}, {"maxCost": 1}):
        assert put(web, people.alice, budget=wrong) == 422
