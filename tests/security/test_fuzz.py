"""Made-up requests to every address as each role: refused or served, never a defect (promise S20)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.models import SessionWorker
from app.services import worker_rows
from tests import cast, factories
from tests.support import web as web_support
from tests.support.web import Web
from web.routing import Endpoint, endpoints

NAMES = ["alice", "otto", "bob", "victor", "charlie"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(["\0", "\u2028", "\ud7ff", "../..", "' OR 1=1 --", "%s", "{{7*7}}", "ses_x", "run_x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.text(max_size=40) | st.sampled_from(["0", "-1", "9" * 40, "WyJ4Il0", "\0", "null", "1e9", "%00", "../x"])


@pytest.fixture(params=["sqlite", "postgres"])
def web(request: pytest.FixtureRequest, new_database_url: Any, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", new_database_url(request.param), redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()
    made.container.database.close()


def test_no_request_finds_a_defect(web: Web) -> None:
    people = cast.assemble()
    session = factories.session(people.bob)
    run = factories.run(people.bob, session)
    worker_rows.ensure(session)
    known = {
        "run_id": run.id,
        "session_id": session.id,
        "token_id": people.otto.token_id,
        "kind": "scripted",
        "name": "worker-1",
    }
    known["blob_id"] = factories.blob(run, web.container.store)
    seen: Counter[int] = Counter()
    served = [each for each in endpoints(web.app).values() if each.method != "WEBSOCKET"]

    @settings(max_examples=600, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def fuzz(data: Any) -> None:
        endpoint: Endpoint = data.draw(st.sampled_from(served))
        who = getattr(people, data.draw(st.sampled_from(NAMES)))
        path = re.sub(r"<(\w+)>", lambda match: variable(data, known, match[1]), endpoint.rule)
        options: dict[str, Any] = {"query_string": arguments(data, endpoint.query, TEXTS)}
        if endpoint.method in ("POST", "PUT"):
            options["json"] = {**arguments(data, endpoint.body, VALUES), **impatient(endpoint)}
        headers = {**who.headers, "Accept": data.draw(st.sampled_from(["*/*", "text/event-stream", "text/html"]))}
        answer = web.send(endpoint.method, path, headers, **options)
        answer.close()
        SessionWorker.update(wish=None).execute()
        seen[answer.status_code] += 1
        assert answer.status_code < 500, (endpoint.name, options, answer.text[:300])

    fuzz()
    assert set(seen) >= {200, 403, 404, 422}, seen


def variable(data: Any, known: dict[str, str], name: str) -> str:
    return str(data.draw(st.sampled_from([known[name], known[name], "%00", "x'y", "é", "%F0%9F%99%82", "-"])))


def arguments(data: Any, model: Any, values: Any) -> dict[str, Any]:
    """Some of the fields that there are, by their names on the wire, and now and then one that is not."""
    names = [field.alias or name for name, field in model.model_fields.items()] if model is not None else []
    chosen = data.draw(st.lists(st.sampled_from([*names, "surprise"]), max_size=3, unique=True))
    return {name: data.draw(values) for name in chosen if name != "timeoutMs"}


def impatient(endpoint: Endpoint) -> dict[str, int]:
    """Where an address waits, it shall not."""
    fields = endpoint.body.model_fields if endpoint.body is not None else {}
    return {"timeoutMs": 0} if "timeout_ms" in fields else {}
