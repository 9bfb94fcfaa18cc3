"""Every event of a run, however many there are, and while they come in."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Locator, Page, expect

from app import db, ids
from app.models import AgentRun, ChatSession
from tests.support.stack import Stack

COUNT = 100_000
SEEN = 20_000
MOST_NODES = 1500
_FILL = """
INSERT INTO run_events (run_id, seq, tenant_id, type, ts, src, data)
WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?)
SELECT ?, seq, ?, CASE WHEN seq = ? THEN 'run.closed' WHEN seq = 777 THEN 'of.tomorrow' WHEN seq % 1000 = 0 THEN 'tool.call'
       ELSE 'message.delta' END, ? + seq * 0.01, '1:' || seq, ? FROM n
"""


def long_run() -> str:
    """Make a chat with a finished run of very many events, by rows alone; return its id."""
    like: Any = ChatSession.select().order_by(ChatSession.created_at).first()
    at = db.now() - 3600
    of = {"tenant_id": like.tenant_id, "user_id": like.user_id, "provider": "scripted", "created_at": at}
    chat = ChatSession.create(**of, id=ids.new_id("ses"), title="a long one", updated_at=at).id
    run = ids.new_id("run")
    ended = {"status": "succeeded", "started_at": at, "finished_at": at + 1000, "last_seq": COUNT, "attempt": 1}
    AgentRun.create(**of, **ended, id=run, session_id=chat, session_seq=1, prompt="go on for long", trace_id="t")
    data = json.dumps({"messageId": "m1", "role": "assistant", "text": "word <b>bold</b>"})
    db.proxy.obj.execute_sql(_FILL, (COUNT, run, like.tenant_id, COUNT, at, data))
    return str(chat)


def event(page: Page, seq: int) -> Locator:
    return page.locator(f"[data-seq='{seq}']")


def test_a_hundred_thousand_events_are_looked_through_from_both_ends(page: Page, running: Stack) -> None:
    page.goto("/")
    expect(page.get_by_role("region", name="History").get_by_role("link")).to_have_count(1)
    with running.opened():
        chat = long_run()
    page.goto(f"/chats/{chat}")
    page.get_by_role("tab", name="Timeline").click()
    expect(event(page, COUNT)).to_be_visible(timeout=SEEN)
    events = page.get_by_role("region", name="Events")
    rows = events.get_by_role("listitem")
    assert rows.count() < 100
    events.evaluate("box => { box.scrollTop = 0 }")
    expect(event(page, COUNT - 204)).to_be_attached(timeout=SEEN)  # what came before is read when one goes there
    expect(event(page, COUNT - 199)).to_be_visible()  # and what one saw stays where it was

    page.get_by_role("button", name="Beginning").click()
    expect(event(page, 1)).to_be_visible(timeout=SEEN)
    for seq in (200, 400, 600):
        events.evaluate(f"box => {{ box.scrollTop = {seq} * 28 - 200 }}")
        expect(event(page, seq + 5)).to_be_attached(timeout=SEEN)
    page.get_by_role("button", name="End", exact=True).click()
    expect(event(page, COUNT)).to_be_visible(timeout=SEEN)
    assert page.evaluate("document.querySelectorAll('[data-seq]').length") < 100

    page.get_by_label("Kind of events").select_option("tools")
    expect(event(page, COUNT - 1000)).to_be_visible(timeout=SEEN)
    expect(event(page, COUNT)).to_have_count(0)
    page.get_by_role("button", name="Beginning").click()
    expect(event(page, 1000)).to_be_visible(timeout=SEEN)
    event(page, 2000).click()
    detail = page.get_by_role("region", name="Event 2000")
    expect(detail.locator("pre")).to_contain_text('"text": "word <b>bold</b>"')
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES


def test_a_link_leads_to_an_event_also_of_a_type_of_tomorrow(page: Page, running: Stack) -> None:
    page.goto("/")
    expect(page.get_by_role("region", name="History").get_by_role("link").first).to_be_visible()
    with running.opened():
        chat = long_run()
        run = AgentRun.get(AgentRun.session_id == chat).id
    page.goto(f"/chats/{chat}")
    page.get_by_role("tab", name="Timeline").click()
    expect(event(page, COUNT)).to_be_visible(timeout=SEEN)
    page.goto(f"/chats/{chat}?event={run}:777")
    expect(event(page, 777)).to_be_visible(timeout=SEEN)
    expect(event(page, 777)).to_contain_text("of.tomorrow")


def test_events_come_in_while_the_run_is_at_work_over_the_one_stream(page: Page, running: Stack) -> None:
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto("/")
    page.get_by_role("tab", name="Timeline").click()
    page.get_by_label("Message").fill("/slow 15 100\n/todo [>] look; done")
    page.keyboard.press("Enter")
    events = page.get_by_role("region", name="Events")
    expect(events.locator("[data-seq='8']")).to_be_attached(timeout=SEEN)
    expect(events.get_by_text("run.closed")).to_be_visible(timeout=SEEN)
    seqs = page.evaluate("[...document.querySelectorAll('[data-seq]')].map(row => Number(row.dataset.seq))")
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert len(sockets) == 1, sockets
