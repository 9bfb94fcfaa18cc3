"""Idempotency-Keys under parallel requests and crashes (promises R7, R8)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.errors import Conflict, Invalid
from app.models import AgentRun, IdempotencyKey
from app.services import idempotency, run_creation
from app.services.idempotency import Key
from tests import cast
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web
from web import creation

pytestmark = pytest.mark.usefixtures("database")

KEY = Key("tnt", "usr", "POST /x", "k", "hash")


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def start(web: Web, people: Cast, **headers: str) -> Any:
    sent = {**people.bob.headers, "Prefer": "respond-async", "Idempotency-Key": "k", **headers}
    return web.post("/api/runs/start", sent, json={"prompt": "x"})


def test_fifty_at_once_make_one_run_and_get_the_same_answer(web: Web, people: Cast) -> None:
    answers: list[Any] = []

    def ask() -> None:
        with db.connection():
            answers.append(start(web, people))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotent-Replay" in answer.headers for answer in answers) == 49
    assert AgentRun.select().count() == 1


def test_a_crash_between_the_run_and_its_answer_makes_no_second_run(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise SystemExit("the process ends here")

    with monkeypatch.context() as planted:
        planted.setattr("web.api.run_start._accepted", die)
        planted.setattr("app.services.idempotency.release", lambda _: None)  # a dead process tidies nothing up
        with pytest.raises(SystemExit):
            start(web, people)
    waiting = start(web, people)
    IdempotencyKey.update(answer={"holder": f"{idempotency.socket.gethostname()} 1 0"}).execute()
    again = start(web, people)

    assert (waiting.status_code, waiting.json["code"]) == (409, "idempotency_in_flight")
    assert waiting.json["retryable"] is True
    assert again.status_code == 202
    assert again.json["runId"] == AgentRun.get().id
    assert again.headers["Idempotent-Replay"] == "true"
    assert AgentRun.select().count() == 1


def test_a_crash_before_the_run_is_taken_over(web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise SystemExit("the process ends here")

    with monkeypatch.context() as planted:
        planted.setattr(run_creation, "create", die)
        planted.setattr("app.services.idempotency.release", lambda _: None)
        with pytest.raises(SystemExit):
            start(web, people)
    IdempotencyKey.update(created_at=IdempotencyKey.created_at - 61).execute()

    assert start(web, people).status_code == 202
    assert AgentRun.select().count() == 1


def test_an_error_after_the_run_was_made_is_answered_from_the_run(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as planted:
        planted.setattr("web.api.run_start._accepted", broken)
        assert start(web, people).status_code == 500
    again = start(web, people)

    assert again.status_code == 202
    assert AgentRun.select().count() == 1


def test_of_two_that_enqueue_one_new_run_id_both_get_the_item(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, looked = threading.Barrier(2), creation.new_run

    def both_have_looked(*arguments: Any) -> Any:
        gate.wait(10)  # neither found the runId
        return looked(*arguments)

    free, look = iter([False, False]), run_creation._is_taken
    monkeypatch.setattr(creation, "new_run", both_have_looked)
    monkeypatch.setattr(run_creation, "_is_taken", lambda run_id: next(free, None) is None and look(run_id))

    def ask(_: int) -> Any:
        with db.connection():
            body = {"runId": "run_chosen", "prompt": "x"}
            return web.post("/api/runs/queue/enqueue", people.bob.headers, json=body)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(ask, range(2)))
    assert [(answer.status_code, answer.json["runId"]) for answer in answers] == [(202, "run_chosen")] * 2
    assert AgentRun.select().count() == 1


def test_a_key_that_was_taken_over_lets_its_first_holder_make_nothing() -> None:
    assert idempotency.take(KEY).state == "fresh"
    IdempotencyKey.update(created_at=0).execute()
    assert idempotency.take(KEY).state == "fresh"
    with db.transaction():
        idempotency.record(KEY, "run_1")

    with pytest.raises(Conflict):
        idempotency.record(KEY, "run_2")


def test_another_body_under_a_key_is_refused_while_it_is_in_flight() -> None:
    idempotency.take(KEY)

    with pytest.raises(Invalid, match="another body"):
        idempotency.take(Key(KEY.tenant_id, KEY.user_id, KEY.route, KEY.value, "other"))


def test_a_released_key_is_fresh_and_a_settled_one_stays() -> None:
    idempotency.take(KEY)
    idempotency.release(KEY)
    assert idempotency.take(KEY).state == "fresh"
    idempotency.settle(KEY, 201, {"body": "{}"})
    idempotency.release(KEY)
    found = idempotency.take(KEY)

    assert (found.state, found.status_code, found.answer) == ("stored", 201, {"body": "{}"})
