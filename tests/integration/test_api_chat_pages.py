"""The messages of a chat in pages: the last screen first, however long the chat, and nothing doubled or lost at the seams."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app import db
from app.domain.events import Event
from app.models import AgentRun, ChatSession
from app.services import chat_pages, log_rows
from tests import cast, factories
from tests.cast import Cast
from tests.support import web as web_support
from tests.support.web import Web
from web.projections.ui_message import INTERRUPTED

pytestmark = pytest.mark.usefixtures("database")

CHATS = "/api/chat-opencode-history"


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


Told = tuple[str, dict[str, Any]]


def tell(run: AgentRun, told: list[Told], *, attempt: int = 1) -> None:
    """Write events behind those that the run has."""
    first = AgentRun.get_by_id(run.id).last_seq + 1
    events = [
        Event(run.id, first + n, kind, data, 1_700_000_000.5 + n, f"{attempt}:-") for n, (kind, data) in enumerate(told)
    ]
    with db.transaction():
        log_rows.insert(run.tenant_id, events)
        AgentRun.update(last_seq=first + len(told) - 1, attempt=attempt, status="running").where(
            AgentRun.id == run.id
        ).execute()


def end(run: AgentRun) -> None:
    AgentRun.update(status="succeeded", finished_at=db.now()).where(AgentRun.id == run.id).execute()


def said(name: str, text: str) -> Told:
    return "message.stop", {"messageId": name, "text": text}


def delta(name: str, text: str) -> Told:
    return "message.delta", {"messageId": name, "role": "assistant", "text": text}


def call(name: str) -> Told:
    return "tool.call", {
        "toolCallId": name,
        "name": "Bash",
        "kind": "execute",
        "title": name,
        "input": {"command": name},
    }


def result(name: str, status: str = "ok") -> Told:
    return "tool.result", {"toolCallId": name, "status": status, "output": f"of {name}"}


def page(web: Web, people: Cast, session: ChatSession, query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = web.get(f"{CHATS}/{session.id}?{query}", people.bob.headers).json
    return answer


def all_pages(web: Web, people: Cast, session: ChatSession, limit: int) -> list[list[dict[str, Any]]]:
    """Return the messages of all pages, the newest page first."""
    found, cursor = [], None
    while True:
        answer = page(web, people, session, f"limit={limit}" + (f"&before={cursor}" if cursor else ""))
        found.append(answer["messages"])
        cursor = answer["previousCursor"]
        if cursor is None:
            return found


def joined(found: list[list[dict[str, Any]]]) -> list[tuple[str, list[Any]]]:
    """Lay pages end to end, as a client does: parts of one message are those of both pages."""
    messages: dict[str, list[Any]] = {}
    for messages_of_page in reversed(found):
        for message in messages_of_page:
            messages.setdefault(message["id"], []).extend(message["parts"])
    return list(messages.items())


def a_long_chat(people: Cast, seed: int) -> ChatSession:
    """Turns of all lengths, with calls whose results come much later, and never."""
    chance = random.Random(seed)
    session = factories.session(people.bob)
    for turn in range(6):
        run = factories.run(people.bob, session, prompt=f"prompt {turn}")
        told: list[Told] = []
        open_calls: list[str] = []
        for number in range(chance.choice((0, 3, 40))):
            kind = chance.randrange(6)
            if kind == 0 and open_calls:
                told.append(result(open_calls.pop(chance.randrange(len(open_calls)))))
            elif kind in (0, 1):
                open_calls.append(f'c%{number}_"')
                told.append(call(open_calls[-1]))
            elif kind == 2:
                told += [delta(f"m{number}", "te"), delta(f"m{number}", "xt"), said(f"m{number}", "text")]
            elif kind == 3:
                told.append(("thinking.stop", {"messageId": f"m{number}", "text": "hm"}))
            elif kind == 4:
                told.append(("human_loop.requested", {"requestId": f"hlr_{number}", "kind": "approval", "title": "?"}))
            else:
                told += [("usage.update", {"input": 1}), ("run.warning", {"code": "w", "message": "careful"})]
        tell(run, told)
        end(run)
    factories.run(people.bob, session, prompt="queued")
    return session


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("bounds", [(1, 10**9, 100), (7, 10**9, 2), (10**6, 300, 100), (10**6, 10**9, 1)])
def test_pages_laid_end_to_end_are_the_chat(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch, seed: int, bounds: tuple[int, int, int]
) -> None:
    most_events, most_bytes, limit = bounds
    session = a_long_chat(people, seed)
    (whole,) = all_pages(web, people, session, 100)
    monkeypatch.setattr(chat_pages, "MOST_EVENTS", most_events)
    monkeypatch.setattr(chat_pages, "MOST_BYTES", most_bytes)

    found = all_pages(web, people, session, limit)

    assert len(found) > 3
    assert joined(found) == joined([whole])
    assert [message["metadata"]["runId"] for message in whole if message["role"] == "user"] == [
        run.id for run in AgentRun.select().where(AgentRun.session_id == session.id).order_by(AgentRun.session_seq)
    ]


def test_a_page_says_which_part_of_the_log_each_message_is(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_pages, "MOST_EVENTS", 2)
    run = factories.run(people.bob)
    session = ChatSession.get_by_id(run.session_id)
    tell(run, [call("a"), said("m1", "one"), said("m2", "two"), result("a"), said("m3", "three")])
    end(run)

    newest, middle, oldest = all_pages(web, people, session, 20)

    about = [messages[-1]["metadata"] for messages in (newest, middle, oldest)]
    assert [(each["firstSeq"], each["lastSeq"], each["begins"], each["ends"]) for each in about] == [
        (5, 6, False, True),
        (3, 4, False, False),
        (1, 2, True, False),
    ]
    assert [message["role"] for message in oldest] == ["user", "assistant"]
    (card,) = oldest[-1]["parts"]
    assert (card["state"], card["output"], card["seq"], card["resultSeq"]) == ("output-available", "of a", 2, 5)
    assert [part["type"] for part in newest[-1]["parts"]] == ["text"], "a result stands at its call"


def test_a_chat_of_ten_thousand_events_opens_at_its_last_screen(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = factories.run(people.bob)
    session = ChatSession.get_by_id(run.session_id)
    told: list[Told] = []
    for number in range(1, 2000):
        name = f"m{number}"
        told += [
            delta(name, "a"),
            delta(name, "b"),
            delta(name, "c"),
            ("usage.update", {"input": number}),
            said(name, "abc"),
        ]
    tell(run, told)
    end(run)
    read: list[int] = []
    real: Callable[..., list[Event]] = log_rows._read
    monkeypatch.setattr(log_rows, "_read", lambda *given: [read.append(1) or event for event in real(*given)])

    answer = page(web, people, session)

    parts = answer["messages"][-1]["parts"]
    assert [part["seq"] for part in parts] == list(range(9996 - 5 * 399, 9997, 5))
    assert len(read) <= chat_pages.MOST_EVENTS + chat_pages.ROWS_AT_ONCE
    assert len(all_pages(web, people, session, 20)) == 5


def test_a_page_of_large_events_is_bounded_in_bytes(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    session = ChatSession.get_by_id(run.session_id)
    tell(run, [said(f"m{number}", "x" * 200_000) for number in range(8)])
    end(run)

    sizes = [[len(part["text"]) for part in messages[-1]["parts"]] for messages in all_pages(web, people, session, 20)]

    assert sizes == [[200_000] * 3, [200_000] * 3, [200_000] * 2]


@pytest.mark.parametrize("cursor", ["x", "WzEsIngiXQ", "WzFd"])
def test_a_cursor_that_is_not_ours_is_refused(web: Web, people: Cast, cursor: str) -> None:
    session = factories.session(people.bob)
    answer = web.get(f"{CHATS}/{session.id}?before={cursor}", people.bob.headers)

    assert (answer.status_code, answer.json["code"]) == (422, "cursor_malformed")


# --- a run at work -----------------------------------------------------------------------------------------------------------------


OPEN: list[tuple[list[Told], int, list[str]]] = [
    ([said("m1", "one"), delta("m2", "t"), delta("m2", "w")], 2, ["one"]),
    ([delta("m1", "o"), said("m1", "one"), call("a")], 4, ["one", "a"]),
    ([call("a"), ("tool.output", {"toolCallId": "a", "text": "1"}), said("m1", "one")], 2, ["a"]),
    ([call("a"), ("tool.output", {"toolCallId": "a", "text": "1"}), result("a"), said("m1", "one")], 5, ["a", "one"]),
    ([delta("m1", "o"), ("thinking.delta", {"messageId": "m1", "text": "h"}), said("m1", "one")], 2, []),
    ([delta("m1", str(n)) for n in range(1200)], 1, []),
    ([], 1, []),
]


@pytest.mark.parametrize(("told", "last", "shown"), OPEN)
def test_a_run_at_work_is_shown_up_to_where_its_stream_can_be_followed_without_a_gap(
    web: Web, people: Cast, told: list[Told], last: int, shown: list[str]
) -> None:
    run = factories.run(people.bob)
    tell(run, told)

    message = page(web, people, ChatSession.get_by_id(run.session_id))["messages"][-1]

    assert message["metadata"]["lastSeq"] == last
    assert [part.get("text") or part.get("toolCallId") for part in message["parts"]] == shown


def test_what_an_earlier_attempt_left_open_is_interrupted_and_not_waited_for(web: Web, people: Cast) -> None:
    run = factories.run(people.bob)
    tell(run, [call("a"), delta("m1", "half")])
    tell(run, [("run.started", {"attempt": 2}), call("b")], attempt=2)

    message = page(web, people, ChatSession.get_by_id(run.session_id))["messages"][-1]

    assert message["metadata"]["lastSeq"] == 5
    first, second = message["parts"]
    assert (first["state"], first["errorText"]) == ("output-error", INTERRUPTED)
    assert second["state"] == "input-available"


def test_messages_tell_of_their_runs_what_a_page_needs(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    failed, waits = factories.run(people.bob, session), factories.run(people.bob, session)
    queued = factories.run(people.bob, session)
    tell(failed, [said("m", "x")])
    facts = {"failure_code": "timed_out", "remedy": "Give it more time.", "usage": {"input": 7}, "retryable": 0}
    AgentRun.update(status="failed", finished_at=db.now(), started_at=db.now(), **facts).where(
        AgentRun.id == failed.id
    ).execute()
    AgentRun.update(status="waiting_human", waiting_since=db.now()).where(AgentRun.id == waits.id).execute()
    factories.approval(waits)

    messages = {message["id"]: message["metadata"] for message in page(web, people, session)["messages"]}

    assert list(messages) == [f"{failed.id}_prompt", failed.id, f"{waits.id}_prompt", waits.id, f"{queued.id}_prompt"]
    about = messages[failed.id]
    assert (about["status"], about["failureCode"], about["retryable"]) == ("failed", "timed_out", False)
    assert (about["remedy"], about["usage"]) == ("Give it more time.", {"input": 7})
    assert {"createdAt", "startedAt", "finishedAt", "firstSeq", "lastSeq"} <= set(about)
    assert messages[waits.id]["waitingFor"]["reason"] == "human"
    assert messages[f"{queued.id}_prompt"]["status"] == "queued"


# --- the queue ---------------------------------------------------------------------------------------------------------------------


def queue(web: Web, people: Cast, session: ChatSession, query: str = "") -> list[str]:
    answer = web.get(f"{CHATS}/{session.id}/queue?{query}", people.bob.headers).json
    return [item["runId"] for item in answer["items"]]


def test_the_queue_of_a_chat_is_told_in_its_order_and_changed_by_moving(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    done, *rest = (factories.run(people.bob, session) for _ in range(5))
    end(done)
    a, b, c, d = (run.id for run in rest)

    def move(run_id: str, before: str | None) -> int:
        return web.post(f"/api/runs/{run_id}/move", people.bob.headers, json={"before": before}).status_code

    assert queue(web, people, session) == [a, b, c, d]
    assert move(d, b) == 200
    assert queue(web, people, session) == [a, d, b, c]
    assert move(a, None) == 200
    assert queue(web, people, session) == [d, b, c, a]
    assert move(a, None) == 200
    AgentRun.update(status="running").where(AgentRun.id == d).execute()
    assert [move(d, c), move(c, d), move(d, None)] == [409, 409, 409]
    assert queue(web, people, session) == [d, b, c, a]


def test_who_waits_in_a_chat_is_told_behind_how_many(web: Web, people: Cast) -> None:
    session = factories.session(people.bob)
    for _ in range(4):
        factories.run(people.bob, session)
    items = web.get(f"{CHATS}/{session.id}/queue?limit=3", people.bob.headers).json

    assert [item["waitingFor"].get("position") for item in items["items"]] == [0, 1, 2]
    assert [item["waitingFor"]["reason"] for item in items["items"]] == ["no_worker", "session_busy", "session_busy"]
    more = web.get(f"{CHATS}/{session.id}/queue?limit=3&cursor={items['nextCursor']}", people.bob.headers).json
    assert [item["waitingFor"]["position"] for item in more["items"]] == [3]
    assert more["nextCursor"] is None
