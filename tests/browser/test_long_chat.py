"""A chat of 10,000 events: it opens at its end, is read up to its beginning, and what one looks at stays where it is.

Times and frames are figures of `bench/portal.py`: two workers on two cores would make them a matter of luck here.
"""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from app.models import AgentRun
from tests.browser.talk import new_chat, opened, send, state
from tests.support import browser_page, long_chat
from tests.support.stack import Stack

MOST_NODES = 2000
MOST_GROWTH_MB = 10
SOME = 170  # so far up from the end that there are pages which were put away


@pytest.fixture(scope="module")
def chat(running: Stack) -> str:
    made = new_chat(running)
    with running.opened():
        assert long_chat.fill(made) == 10_000
    return made


def last_answer(page: Page) -> Any:
    return page.get_by_role("log").get_by_text(long_chat.answer(long_chat.TURNS - 1), exact=True)


def test_every_row_is_passed_once_on_the_way_to_the_beginning(page: Page, chat: str) -> None:
    page.set_viewport_size({"width": 1200, "height": 3200})
    opened(page, chat)
    expect(last_answer(page)).to_be_visible()
    heap = browser_page.Heap(page)
    before = heap.megabytes()

    way = page.evaluate(browser_page.WALK_UP, {"step": 2400, "until": long_chat.question(0)})

    assert way["passed"] == long_chat.rows(), "each row once and in order"
    assert way["moved"] == [], "what is seen goes with the scrolling and no other way"
    assert way["nodes"] <= MOST_NODES
    assert heap.megabytes() - before <= MOST_GROWTH_MB
    page.get_by_role("button", name="Jump to latest").click()
    expect(last_answer(page)).to_be_in_viewport()
    again = page.evaluate(browser_page.WALK_UP, {"step": 2400, "until": long_chat.question(SOME)})
    passed = again["passed"]
    assert passed == long_chat.rows()[-len(passed) :], "what was put away is read again"
    assert again["moved"] == []


def test_what_is_read_stays_where_it_is_while_an_answer_grows(page: Page, running: Stack) -> None:
    short = new_chat(running)
    with running.opened():
        long_chat.fill(short, 5)
    talk = opened(page, short)
    expect(talk.get_by_text(long_chat.answer(4), exact=True)).to_be_visible()
    send(page, "/slow 40 100")
    expect(talk.get_by_text("word 3")).to_be_visible()
    talk.evaluate("box => { box.scrollTop = 0 }")
    expect(talk.get_by_text(long_chat.question(0), exact=True)).to_be_in_viewport()
    seen = page.evaluate(browser_page.PLACES)
    expect(state(page, "Done")).to_be_visible(timeout=30_000)
    assert page.evaluate(browser_page.PLACES) == seen
    page.get_by_role("button", name="Jump to latest").click()
    expect(talk.get_by_text("word 40")).to_be_in_viewport()


def test_an_event_of_long_ago_is_found_by_its_address(page: Page, running: Stack, chat: str) -> None:
    with running.opened():
        run = AgentRun.get((AgentRun.session_id == chat) & (AgentRun.session_seq == 150))
    page.goto(f"/chats/{chat}?event={run.id}:8")
    wanted = page.get_by_role("log").locator("article[aria-current]")
    expect(wanted).to_contain_text("ls 149/1", timeout=30_000)
    expect(wanted).to_be_in_viewport()
