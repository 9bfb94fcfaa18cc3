"""Looking through a log: from either end, by type, while it grows, and however long it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app import db
from app.domain.events import EventType
from app.models import AgentRun, RunEvent
from app.services import log_rows
from tests import cast, factories
from tests.cast import Cast
from tests.support import log_world
from tests.support import web as web_support
from tests.support.log_world import delta, draft, ending, finish
from tests.support.web import Web

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def web(database_url: str, redis_url: str, tmp_path: Path) -> Web:
    return web_support.make(web_support.settings_of(tmp_path / "var", database_url, redis_url))


@pytest.fixture
def people(web: Web) -> Cast:
    return cast.assemble()


def ask(web: Web, people: Cast, run: AgentRun, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = web.get(f"/api/runs/{run.id}/events?{query}", people.bob.headers).json
    return answer


def seqs(page: dict[str, Any]) -> list[int]:
    return [item["seq"] for item in page["items"]]


def a_log(web: Web, people: Cast, *, sealed: bool) -> tuple[AgentRun, list[str]]:
    """A run whose log is half in SQL and half in Redis alone, or sealed; return it and the types of its events, in order."""
    run = factories.run(people.bob)
    log = log_world.take_over(run.id, web.container.stream)
    for record in range(1, 16):
        log.append([delta(record)])
        if record % 5 == 0:
            log.append([draft(EventType.TOOL_CALL, {"toolCallId": str(record), "name": "Bash"}, record + 100)])
        if record == 8:
            log.flush()
    if sealed:
        log.seal(ending(), finish(run.id))
    types = [event.type for event in web.app.extensions["paddock"].log_reader.read(run.id, 0, 1000)]
    assert len(types) == (22 if sealed else 19)
    assert sealed or AgentRun.get_by_id(run.id).last_seq < 19, "the end is in Redis alone"
    return run, types


FILTERS = ["", "tool.call", "message.delta", "message.delta,tool.call", "run.closed,run.status", "todo.update"]


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("types", FILTERS)
def test_a_log_is_the_same_from_both_ends_in_pages_of_any_size(
    web: Web, people: Cast, sealed: bool, types: str
) -> None:
    run, all_types = a_log(web, people, sealed=sealed)
    wanted = [seq for seq, kind in enumerate(all_types, 1) if not types or kind in types.split(",")]
    last = len(all_types)
    filters = f"&types={types}" if types else ""
    for limit in (9, 500):
        forward, cursor = [], "0"
        for _ in range(last + 2):
            page = ask(web, people, run, f"limit={limit}&cursor={cursor}{filters}")
            forward += seqs(page)
            if page["nextCursor"] in (None, cursor):
                break
            cursor = page["nextCursor"]
        assert forward == wanted
        assert page["nextCursor"] == (None if sealed else str(last))

        back, before = [], "end"
        while before is not None:
            page = ask(web, people, run, f"limit={limit}&before={before}{filters}")
            assert page["items"] or not wanted
            if before == "end":
                assert page["nextCursor"] == (None if sealed else str(last))
            back = seqs(page) + back
            before = page.get("previousCursor")
        assert back == wanted


def test_what_follows_a_page_from_the_end_is_behind_its_cursor(web: Web, people: Cast) -> None:
    run, _ = a_log(web, people, sealed=True)
    page = ask(web, people, run, "before=12&limit=5")

    assert seqs(page) == [7, 8, 9, 10, 11]
    assert (page["previousCursor"], page["nextCursor"]) == ("7", "11")
    assert seqs(ask(web, people, run, "cursor=11&limit=2")) == [12, 13]
    assert seqs(ask(web, people, run, "before=1")) == []
    assert seqs(ask(web, people, run, "before=9999&limit=1")) == [22]


@pytest.mark.parametrize(
    "query",
    ["before=x", "before=-1", "before=3&cursor=1", "types=", "types=A", "types=a,,b", "types=" + ",".join("a" * 50)],
)
def test_a_question_that_is_none_is_refused(web: Web, people: Cast, query: str) -> None:
    run = factories.run(people.bob)

    assert web.get(f"/api/runs/{run.id}/events?{query}", people.bob.headers).status_code == 422


LONG = 100_000
_MAKE = """
INSERT INTO run_events (run_id, seq, tenant_id, type, ts, src, data)
SELECT '{run}', n, 't', CASE WHEN n / 5000 * 5000 = n THEN 'todo.update' WHEN n / 50 * 50 = n THEN 'tool.call' ELSE 'message.delta' END,
       n, '1:-', '{{"text": "abc"}}'
FROM {numbers}
"""
_NUMBERS = {
    True: "(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s)",
    False: "generate_series({first}, {last}) AS n",
}


def test_a_hundred_thousand_events_are_looked_through_by_their_index(
    web: Web, people: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = factories.run(people.bob)
    database: Any = db.proxy.obj
    for first in range(2, LONG, 20_000):
        numbers = _NUMBERS[db.is_sqlite()].format(first=first, last=min(first + 19_999, LONG))
        database.execute_sql(_MAKE.format(run=run.id, numbers=numbers))
    AgentRun.update(last_seq=LONG, status="succeeded", finished_at=db.now()).where(AgentRun.id == run.id).execute()
    database.execute_sql("ANALYZE")
    plans: list[str] = []
    real = log_rows._execute

    def execute(sql: str, parameters: Any) -> Any:
        if "run_events" in sql:
            begin = "EXPLAIN QUERY PLAN " if db.is_sqlite() else "EXPLAIN "
            plans.append("\n".join(str(row[-1]) for row in real(begin + sql, parameters).fetchall()))
        return real(sql, parameters)

    monkeypatch.setattr(log_rows, "_execute", execute)

    assert seqs(ask(web, people, run, "types=todo.update&limit=500")) == list(range(5000, LONG + 1, 5000))
    assert seqs(ask(web, people, run, "types=todo.update&before=end&limit=2")) == [LONG - 5000, LONG]
    assert len(seqs(ask(web, people, run, "types=tool.call,todo.update&cursor=50000"))) == 100
    assert ["run_events_told" in plan for plan in plans] == [True, False] * 3
    found = seqs(ask(web, people, run, "before=end&limit=3"))
    assert found == [LONG - 2, LONG - 1, LONG]
    assert len(plans) == 7
    whole = [plan for plan in plans if "Seq Scan" in plan or "SCAN run_events" in plan]
    assert whole == [], "no query goes through the whole log"
    assert RunEvent.select().count() == LONG
