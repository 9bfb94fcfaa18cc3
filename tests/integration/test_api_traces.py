"""The whole of a long output is read by those who see its run, and by nothing but its name in that run's log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain import storage
from app.domain.events import Event
from app.models import AgentRun, RunEvent
from app.services.run_blobs import RunBlobs
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web

LONG = "zeile <script>alert(1)</script> ü\n" * 2000


@pytest.fixture
def web(database: object, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Web]:
    made = web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))
    yield made
    made.app.extensions["paddock"].hub.close()


@pytest.fixture
def people() -> Cast:
    return cast.assemble()


def address(run: AgentRun, blob_id: str) -> str:
    return f"/api/task/{run.id}/trace/blobs/{blob_id}"


def test_a_long_output_is_given_whole_and_never_as_a_page(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    blob_id = factories.blob(run, web.container.store, LONG)
    answer = web.get(address(run, blob_id), people.bob.headers)
    assert answer.status_code == 200
    assert answer.data.decode() == LONG
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_what_no_event_of_the_run_names_is_not_there(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    run, other = factories.run(people.bob, session), factories.run(people.bob, session)
    blob_id = factories.blob(run, web.container.store, LONG)
    stored = hashlib.sha256(LONG.encode()).hexdigest()
    assert stored == blob_id  # it is in the session's part of the store, where the other run's blobs are too
    for wrong in (
        address(other, blob_id),
        address(run, blob_id.upper()),
        address(run, blob_id[:12]),
        address(run, "%25"),
    ):
        assert web.get(wrong, people.bob.headers).status_code == 404
    RunEvent.update(data={"output": f"it says {blob_id}"}).where(RunEvent.run_id == run.id, RunEvent.seq > 1).execute()
    assert web.get(address(run, blob_id), people.bob.headers).status_code == 404


def test_an_output_that_is_only_in_redis_yet_is_found(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    data = dict(RunBlobs(web.container.store, run).shorten({"toolCallId": "t1", "status": "ok", "output": LONG}))
    web.container.stream.fence(run.id, 1, run.last_seq)
    queued = Event(run.id, 1, "run.status", {"status": "queued"}, run.created_at, "0:-")
    result = Event(run.id, 2, "tool.result", data, run.created_at, "1:1")
    assert web.container.stream.append(run.id, 1, [queued, result]) == "OK"
    assert web.get(address(run, data["blobId"]), people.bob.headers).data.decode() == LONG


def test_a_blob_that_was_changed_in_the_store_is_refused(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    blob_id = factories.blob(run, web.container.store, LONG)
    key = storage.blob_key(run.tenant_id, run.session_id, blob_id)
    (web.container.settings.root / "objects" / key).write_text("other")
    answer = web.get(address(run, blob_id), people.bob.headers)
    assert (answer.status_code, answer.json["code"]) == (409, "blob_damaged")
    (web.container.settings.root / "objects" / key).unlink()
    assert web.get(address(run, blob_id), people.bob.headers).status_code == 404
