"""Chats over HTTP: lists, marks of what was read, what goes on, deletion. Their messages: `test_api_chat_pages`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app import db, ids
from app.errors import NotFound
from app.models import AgentRun, ChatRead, ChatSession
from app.services import chats, run_creation
from app.services.run_creation import NewRun
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web

pytestmark = pytest.mark.usefixtures("database")

CHATS = "/api/chat-opencode-history"


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def end(run: AgentRun, at: float | None = None, status: str = "succeeded") -> None:
    AgentRun.update(status=status, finished_at=at or db.clock()).where(AgentRun.id == run.id).execute()


def titles(web: Web, who: cast.Person, query: str = "") -> list[str]:
    return [item["title"] for item in web.get(f"{CHATS}?{query}", who.headers).json["items"]]


@contextmanager
def counted_queries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the statements that the block sends to the database."""
    sent: list[str] = []
    database: Any = db.proxy.obj
    real = database.execute_sql

    def execute_sql(sql: str, *arguments: Any, **options: Any) -> Any:
        sent.append(sql)
        return real(sql, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(database, "execute_sql", execute_sql)
        yield sent


# --- lists -----------------------------------------------------------------------------------------------------------------------


def test_a_chat_shows_the_run_that_matters(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    first, second, third = (factories.run(people.bob, session) for _ in range(3))
    shown = lambda: web.get(CHATS, people.bob.headers).json["items"][0]  # noqa: E731

    assert (shown()["run"]["runId"], shown()["run"]["status"], shown()["openRuns"]) == (first.id, "queued", 3)
    assert shown()["run"]["waitingFor"]["reason"] == "no_worker"
    end(first)
    assert (shown()["run"]["runId"], shown()["openRuns"]) == (second.id, 2)
    AgentRun.update(status="waiting_human", waiting_since=db.now()).where(AgentRun.id == second.id).execute()
    factories.approval(second)
    assert shown()["run"]["waitingFor"]["reason"] == "human"
    assert shown()["pendingRequests"] == 1
    end(second)
    end(third, status="failed")
    AgentRun.update(failure_code="timed_out").where(AgentRun.id == third.id).execute()
    assert (shown()["run"]["runId"], shown()["run"]["failureCode"]) == (third.id, "timed_out")
    assert "waitingFor" not in shown()["run"]


def test_a_chat_without_a_run_has_none(web: Web, people: Cast) -> None:
    factories.session(people.bob)
    shown = web.get(CHATS, people.bob.headers).json["items"][0]

    assert "run" not in shown
    assert (shown["openRuns"], shown["unread"]) == (0, False)


def test_a_list_costs_one_query_however_many_chats_there_are(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[int] = []
    web.get(CHATS, people.bob.headers)  # notes that the token was used
    for _ in range(2):
        for number in range(20):
            run = factories.run(people.bob)
            if number % 2:
                end(run)
        with counted_queries(monkeypatch) as sent:
            assert len(web.get(f"{CHATS}?limit=500", people.bob.headers).json["items"]) == 20 * (len(costs) + 1)
        costs.append(len(sent))
        assert sum("FROM chat_sessions" in sql for sql in sent) == 1

    assert costs[0] == costs[1]


@pytest.mark.parametrize("person", ["bob", "alice"])
def test_a_page_of_a_long_list_is_read_by_an_index(web: Web, people: Cast, person: str) -> None:
    fill(people.bob, 2000)
    who = getattr(people, person).principal
    where, values = chats._reach(who, mine=False)
    sql = chats._PAGE.format(where=f"{where} AND archived_at IS NULL")

    plan = explain(sql, [*values, 50, who.user_id])

    assert "chat_sessions_in_use" in plan
    assert "Seq Scan on chat_sessions" not in plan
    scans = [line for line in plan.splitlines() if line.startswith("SCAN")]  # SQLite's word for a whole table
    assert scans in ([], ["SCAN c"]), "only the page itself is gone through"


def fill(owner: cast.Person, count: int) -> None:
    """Make chats with a finished run each, by rows alone."""
    rows, runs = [], []
    for number in range(count):
        session_id = ids.new_id("ses")
        about = {"tenant_id": owner.user.tenant_id, "user_id": owner.user.id, "provider": "scripted"}
        rows.append({"id": session_id, **about, "title": f"n {number}", "created_at": number, "updated_at": number})
        ended = {"status": "succeeded", "finished_at": number, "created_at": number, "session_seq": 1}
        named = {"session_id": session_id, "prompt": "x", "trace_id": "t"}
        runs.append({"id": ids.new_id("run"), **about, **named, **ended})
    for start in range(0, count, 500):
        ChatSession.insert_many(rows[start : start + 500]).execute()
        AgentRun.insert_many(runs[start : start + 500]).execute()
    db.proxy.obj.execute_sql("ANALYZE")


def explain(sql: str, values: list[object]) -> str:
    """Return how the database goes about it, one step a line."""
    begin = "EXPLAIN QUERY PLAN " if db.is_sqlite() else "EXPLAIN "
    database: Any = db.proxy.obj
    return "\n".join(str(row[-1]) for row in database.execute_sql(begin + sql.replace("?", database.param), values))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("refund", ["second", "Refund policy"]),
        ("REFUND", ["second", "Refund policy"]),
        ("100%", ["third"]),
        ("a_b", []),
        ("%", ["third"]),
        ("退款", ["third"]),
        ("\\", []),
        ("nothing of it", []),
        ("  ", ["third", "second", "Refund policy"]),
    ],
)
def test_chats_are_found_by_title_and_prompt(web: Web, people: Cast, query: str, found: list[str]) -> None:
    for title, prompt in (("Refund policy", "hello"), ("second", "about the\nrefund of axb"), ("third", "100% 退款")):
        session = factories.session(people.bob, title)
        factories.run(people.bob, session, prompt=prompt)
    factories.session(people.mallory, "refund of another")

    answer = web.get(CHATS, people.bob.headers, query_string={"q": query})

    assert [item["title"] for item in answer.json["items"]] == found


def test_found_chats_come_in_pages(web: Web, people: Cast) -> None:
    for number in range(5):
        factories.session(people.bob, f"wanted {number}")
        factories.session(people.bob, f"other {number}")
    first = web.get(f"{CHATS}?q=wanted&limit=3", people.bob.headers).json
    second = web.get(f"{CHATS}?q=wanted&limit=3&cursor={first['nextCursor']}", people.bob.headers).json

    assert [item["title"] for item in first["items"] + second["items"]] == [f"wanted {n}" for n in (4, 3, 2, 1, 0)]
    assert second["nextCursor"] is None


def test_whoever_sees_all_may_ask_for_his_own(web: Web, people: Cast) -> None:
    factories.session(people.bob, "bob's")
    factories.session(people.alice, "alice's")

    assert titles(web, people.alice) == ["alice's", "bob's"]
    assert titles(web, people.alice, "mine=true") == ["alice's"]
    assert titles(web, people.bob, "mine=false") == ["bob's"]


def test_a_chat_without_a_title_gets_the_first_line_of_its_first_message(web: Web, people: Cast) -> None:
    session = factories.session(people.bob, "")
    factories.run(people.bob, session, prompt="mend the roof\nand the door")
    factories.run(people.bob, session, prompt="then paint it")

    assert titles(web, people.bob) == ["mend the roof"]


@pytest.mark.parametrize(
    ("title", "then"),
    [
        ("[Paddock] New session", "mend the roof"),
        ("[修理工] 新会话", "mend the roof"),
        ("New session", "New session"),
        ("[Plan] New session notes", "[Plan] New session notes"),
    ],
)
def test_a_default_title_holds_until_the_first_message(web: Web, people: Cast, title: str, then: str) -> None:
    chat = web.send("POST", CHATS, people.bob.headers, json={"title": title}).json["chatId"]
    assert titles(web, people.bob) == [title]

    web.send("POST", "/api/runs/queue/enqueue", people.bob.headers, json={"sessionId": chat, "prompt": "mend the roof"})
    assert titles(web, people.bob) == [then]
    web.send("PUT", f"{CHATS}/{chat}", people.bob.headers, json={"title": "[A] New session"})
    web.send("POST", "/api/runs/queue/enqueue", people.bob.headers, json={"sessionId": chat, "prompt": "and the door"})
    assert titles(web, people.bob) == ["[A] New session"]


def test_a_chat_is_read_without_its_messages(web: Web, people: Cast) -> None:
    session = factories.session(people.bob, "kept short")
    factories.run(people.bob, session)

    answer = web.get(f"{CHATS}/{session.id}?limit=0", people.bob.headers).json

    assert (answer["title"], answer["messages"], answer["previousCursor"], answer["openRuns"]) == (
        "kept short",
        [],
        None,
        1,
    )


# --- what was read ---------------------------------------------------------------------------------------------------------------


def test_the_end_of_a_run_is_news_until_it_was_read(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    path = f"{CHATS}/{session.id}"
    run = factories.run(people.bob, session)
    assert web.get(path, people.bob.headers).json["unread"] is False
    end(run)
    seen = web.get(path, people.bob.headers).json

    assert seen["unread"] is True
    read = web.send("PUT", f"{path}/read", people.bob.headers, json={"newsAt": seen["newsAt"]})
    assert (read.status_code, read.json["unread"]) == (200, False)
    assert web.get(CHATS, people.bob.headers).json["items"][0]["unread"] is False


def test_what_came_after_it_was_seen_stays_unread(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    path, now = f"{CHATS}/{session.id}", db.now()
    end(factories.run(people.bob, session), now - 20)
    seen = web.get(path, people.bob.headers).json["newsAt"]
    end(factories.run(people.bob, session), now - 10)

    assert web.send("PUT", f"{path}/read", people.bob.headers, json={"newsAt": seen}).json["unread"] is True
    assert web.send("PUT", f"{path}/read", people.bob.headers, json={}).json["unread"] is False
    back = web.send("PUT", f"{path}/read", people.bob.headers, json={"newsAt": seen})
    assert back.json["unread"] is False, "a mark never goes back"


def test_nobody_marks_the_future_as_read(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    path = f"{CHATS}/{session.id}"
    web.send("PUT", f"{path}/read", people.bob.headers, json={"newsAt": "2999-01-01T00:00:00.000Z"})
    end(factories.run(people.bob, session))

    assert web.get(path, people.bob.headers).json["unread"] is True
    refused = web.send("PUT", f"{path}/read", people.bob.headers, json={"newsAt": "yesterday"})
    assert refused.status_code == 422


def test_a_chat_that_waits_for_its_reader_is_unread(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    run = factories.run(people.bob, session)
    web.send("PUT", f"{CHATS}/{session.id}/read", people.bob.headers, json={})
    AgentRun.update(status="waiting_human", waiting_since=db.now() + 0.01).where(AgentRun.id == run.id).execute()

    assert web.get(f"{CHATS}/{session.id}", people.bob.headers).json["unread"] is True


def test_each_has_marks_of_his_own_and_others_chats_are_unread_once_opened(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    path, now = f"{CHATS}/{session.id}", db.now()
    end(factories.run(people.bob, session), now - 20)
    unread = lambda who: web.get(path, who.headers).json["unread"]  # noqa: E731

    assert (unread(people.bob), unread(people.victor)) == (True, False)
    web.send("PUT", f"{path}/read", people.victor.headers, json={})
    ChatRead.update(read_at=now - 15).execute()
    end(factories.run(people.bob, session), now - 10)
    assert (unread(people.bob), unread(people.victor), unread(people.otto)) == (True, True, False)


# --- what goes on ----------------------------------------------------------------------------------------------------------------


def test_the_activity_counts_what_goes_on_and_names_its_version(web: Web, people: Cast) -> None:
    address, versions = f"{CHATS}/activity", []

    def activity() -> dict[str, Any]:
        answer = web.get(address, people.bob.headers).json
        versions.append(answer.pop("version"))
        return answer

    session = factories.session(people.bob)
    assert activity() == {"unread": 0, "running": 0, "waiting": 0, "pending": 0}
    run = factories.run(people.bob, session)
    factories.run(people.mallory)
    assert activity() == {"unread": 0, "running": 1, "waiting": 0, "pending": 0}
    AgentRun.update(status="waiting_human", waiting_since=db.now()).where(AgentRun.id == run.id).execute()
    factories.approval(run)
    assert activity() == {"unread": 1, "running": 0, "waiting": 1, "pending": 1}
    end(run)
    activity()
    web.send("PUT", f"{CHATS}/{session.id}/read", people.bob.headers, json={})
    activity()
    web.send("PUT", f"{CHATS}/{session.id}", people.bob.headers, json={"title": "another"})
    activity()
    web.send("PUT", f"{CHATS}/{session.id}", people.bob.headers, json={"archived": True})
    activity()

    assert len(set(versions)) == len(versions) == 7
    factories.run(people.mallory)
    activity()
    assert versions[-1] == versions[-2], "what goes on at others' does not concern him"


def test_a_chat_long_unused_is_noticed_when_it_is_at_work(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chats, "RECENT", 2)
    run = factories.run(people.bob)
    for _ in range(3):
        factories.session(people.bob)
    before = web.get(f"{CHATS}/activity", people.bob.headers).json
    end(run)
    after = web.get(f"{CHATS}/activity", people.bob.headers).json

    assert (before["running"], after["running"]) == (1, 0)
    assert before["version"] != after["version"]


def test_the_activity_costs_the_same_however_many_chats_there_are(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[int] = []
    web.get(CHATS, people.bob.headers)  # notes that the token was used
    for count in (1, 1000):
        fill(people.bob, count)
        with counted_queries(monkeypatch) as sent:
            web.get(f"{CHATS}/activity", people.bob.headers)
        costs.append(len(sent))

    assert costs[0] == costs[1]


@pytest.mark.parametrize("address", [CHATS, f"{CHATS}/activity", "/api/human-loop/pending"])
def test_who_has_the_answer_already_gets_304_until_it_is_another(web: Web, people: Cast, address: str) -> None:
    run = factories.run(people.bob)
    first = web.get(address, people.bob.headers)
    tag = {"If-None-Match": first.headers["ETag"]}
    again = web.get(address, {**people.bob.headers, **tag})
    factories.approval(run)
    third = web.get(address, {**people.bob.headers, **tag})

    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert third.status_code == 200
    assert third.headers["ETag"] != first.headers["ETag"]


# --- provider and model ----------------------------------------------------------------------------------------------------------


def test_the_next_runs_of_a_chat_use_what_was_chosen_for_it(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    path = f"{CHATS}/{session.id}"
    change = lambda **body: web.send("PUT", path, people.bob.headers, json=body)  # noqa: E731

    assert change(model="m-1").json["model"] == "m-1"
    body = {"sessionId": session.id, "prompt": "x", "timeoutMs": 0}
    assert web.post("/api/runs/start", people.bob.headers, json=body).json["model"] == "m-1"
    assert change(title="kept").json["model"] == "m-1"
    assert change(provider="scripted").json["model"] == "m-1", "it is the one it had"
    assert change(provider="claude-code").json["model"] is None, "a model belongs to a provider"
    assert change(provider="scripted", model="m-2").json["model"] == "m-2"
    assert change(model=None).json["model"] is None
    refused = change(provider="nobody")
    assert (refused.status_code, refused.json["code"]) == (422, "provider_unknown")


# --- deletion --------------------------------------------------------------------------------------------------------------------


def test_a_deleted_chat_and_all_of_it_is_as_if_it_were_not(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    request = factories.approval(run)
    path = f"{CHATS}/{run.session_id}"
    refused = web.send("DELETE", path, people.bob.headers)
    end(run)

    assert (refused.status_code, refused.json["code"]) == (409, "run_active")
    assert web.send("DELETE", path, people.bob.headers).status_code == 200
    for who in (people.bob, people.alice):
        for gone in (
            path,
            f"/api/runs/{run.id}",
            f"/api/runs/{run.id}/events",
            f"/api/session-workers/{run.session_id}/workspace/tree",
        ):
            assert web.get(gone, who.headers).status_code == 404
        for listed in (CHATS, f"{CHATS}?archived=true", "/api/runs", "/api/human-loop/pending", "/api/session-workers"):
            assert web.get(listed, who.headers).json["items"] == []
        body = {"requestId": request.id, "decision": "allow"}
        assert web.post("/api/human-loop/reply", who.headers, json=body).status_code == 404
        begun = web.post("/api/runs/start", who.headers, json={"sessionId": run.session_id, "prompt": "x"})
        assert begun.status_code == 404
    assert ChatSession.get_by_id(run.session_id).archived_at is not None, "retention takes it as an archived one"
    assert AgentRun.get_by_id(run.id).message is None


def test_a_run_that_is_made_while_its_chat_is_deleted_is_refused(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    web.send("DELETE", f"{CHATS}/{session.id}", people.bob.headers)
    new = NewRun(people.bob.user.tenant_id, people.bob.user.id, session.id, "scripted", "x")

    with pytest.raises(NotFound):
        run_creation.create(new, factories.SilentBell())
    assert AgentRun.select().count() == 0
