"""The list of chats: what was there yesterday, what is new, finding and keeping order."""

from __future__ import annotations

import re
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from app import ids
from app.models import AgentRun, ChatSession
from tests.support.stack import Stack
from tests.support.waiting import eventually

CHATS = "/api/chat-opencode-history"
DAY = 86_400


def chat(client: httpx.Client, running: Stack, prompt: str) -> str:
    """Run a prompt in a new chat to its end and return the chat's id."""
    run_id = running.start(client, prompt)
    read = lambda: client.get(f"/api/runs/{run_id}").json()  # noqa: E731
    eventually(lambda: read()["status"] == "succeeded", what="the run to end")
    return str(read()["sessionId"])


def links(page: Page) -> Locator:
    return page.get_by_role("region", name="History").get_by_role("link")


def test_yesterdays_chats_are_found_in_a_browser_that_has_never_been_here(elsewhere: Page, running: Stack) -> None:
    with running.client() as client:
        old = chat(client, running, "/say the roof is mended")
        chat(client, running, "/say the door too")
    with running.opened():
        ChatSession.update(updated_at=ChatSession.updated_at - DAY).where(ChatSession.id == old).execute()

    page = elsewhere
    page.goto("/")
    told = page.get_by_role("list", name="History").get_by_role("listitem")
    expect(told).to_have_count(4)
    heard = [told.nth(place).inner_text().splitlines()[0] for place in range(4)]
    assert heard == ["Today", "/say the door too", "Yesterday", "/say the roof is mended"]
    links(page).nth(1).click()
    expect(page.get_by_role("article", name="Agent")).to_contain_text("the roof is mended")


def test_chats_are_found_by_title_and_by_what_was_asked(page: Page, running: Stack) -> None:
    with running.client() as client:
        chat(client, running, "/say 退款政策\nabout refunds")
    page.goto("/")
    search = page.get_by_role("searchbox", name="Search sessions")
    expect(search).to_be_visible()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("REFUNDS")
    expect(links(page)).to_have_count(1)
    search.fill("款政")
    expect(links(page)).to_have_count(1)
    search.fill("nothing like it")
    expect(page.get_by_text("Nothing found for “nothing like it”.")).to_be_visible()
    expect(links(page)).to_have_count(0)
    search.press("Escape")
    expect(links(page).first).to_be_visible()
    search.press("ArrowDown")
    expect(links(page).first).to_be_focused()


def test_a_chat_is_renamed_archived_brought_back_and_deleted(page: Page, running: Stack) -> None:
    with running.client() as client:
        chat(client, running, "/say hello")
    page.goto("/")
    first = links(page).first
    first.focus()
    page.keyboard.press("F2")
    page.keyboard.type("Mend the roof")
    page.keyboard.press("Enter")
    expect(first).to_contain_text("Mend the roof")
    expect(page.get_by_role("heading", name="Mend the roof")).to_be_visible()
    expect(page).to_have_title("Mend the roof · Paddock")

    choose(page, "Archive")
    expect(links(page).filter(has_text="Mend the roof")).to_have_count(0)
    page.get_by_role("button", name="Archived sessions").click()
    expect(links(page).filter(has_text="Mend the roof")).to_have_count(1)
    choose(page, "Bring back")
    expect(page.get_by_text("Nothing is archived.")).to_be_visible()
    page.get_by_role("button", name="Back to sessions in use").click()
    expect(links(page).filter(has_text="Mend the roof")).to_have_count(1)

    choose(page, "Delete")
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    choose(page, "Delete")
    page.get_by_role("dialog", name="Delete “Mend the roof”?").get_by_role("button", name="Delete").click()
    expect(links(page).filter(has_text="Mend the roof")).to_have_count(0)
    expect(page.get_by_role("heading", name="Mend the roof")).to_have_count(0)


def choose(page: Page, what: str) -> None:
    page.get_by_role("button", name="Actions for Mend the roof").click()
    page.get_by_role("menuitem", name=what).click()


def test_what_is_new_is_marked_in_all_browsers_until_one_has_read_it(
    page: Page, elsewhere: Page, running: Stack
) -> None:
    with running.client() as client:
        other = chat(client, running, "/say somewhere else")
        wanted = chat(client, running, "/say first")
        for each in (page, elsewhere):
            each.goto(f"/chats/{other}")
            expect(each.get_by_role("article", name="Agent")).to_be_visible()
        marks = [each.locator(f"[data-chat={wanted}]").get_by_text("Unread") for each in (page, elsewhere)]
        for mark in marks:
            expect(mark).to_be_visible()

        links(page).filter(has_text="/say first").click()
        for mark in marks:
            expect(mark).to_have_count(0)

        running.start(client, "/slow 80 100\n/say second", sessionId=wanted)  # longer than two looks at what goes on
        going = elsewhere.locator(f"[data-chat={wanted}]")
        expect(going.get_by_text("Running")).to_be_visible()
        expect(going.get_by_text("Running")).to_have_count(0)
        expect(going.get_by_text("Unread")).to_have_count(0)  # somebody looks at it in the other browser


FOCUSED = "document.activeElement.textContent"


def test_a_long_list_is_whole_and_costs_no_more_than_a_screen(page: Page, running: Stack) -> None:
    with running.client() as client:
        chat(client, running, "/say hello")
    with running.opened():
        like = ChatSession.select().first()
        fill(like, 300)
    page.goto("/")
    box = page.get_by_role("list", name="History")
    expect(box.get_by_text("old 0", exact=True)).to_be_visible()
    links(page).first.focus()
    here = page.evaluate(FOCUSED)
    while "old 39" not in here:  # those of other tests come before
        page.keyboard.press("j")
        page.wait_for_function(f"before => {FOCUSED} !== before", arg=here)
        here = page.evaluate(FOCUSED)
    last = box.get_by_text("old 299", exact=True)
    while last.count() == 0:
        box.locator("[data-chat]").last.scroll_into_view_if_needed()
    expect(last).to_be_visible()
    assert box.get_by_role("listitem").count() < 60
    assert page.evaluate("document.querySelectorAll('*').length") < 1500


def fill(like: Any, count: int) -> None:
    """Make older chats than this one, by rows alone."""
    of = {"tenant_id": like.tenant_id, "user_id": like.user_id, "provider": "scripted"}
    oldest = ChatSession.select().order_by(ChatSession.updated_at).first().updated_at - 30 * DAY
    rows, runs = [], []
    for number in range(count):
        at = oldest - number
        rows.append({**of, "id": ids.new_id("ses"), "title": f"old {number}", "created_at": at, "updated_at": at})
        ended = {"status": "succeeded", "finished_at": at, "created_at": at, "session_seq": 1, "prompt": "x"}
        runs.append({**of, **ended, "id": ids.new_id("run"), "session_id": rows[-1]["id"], "trace_id": "t"})
    ChatSession.insert_many(rows).execute()
    AgentRun.insert_many(runs).execute()


def test_new_chats_are_made_by_a_key_and_named_by_their_first_message(page: Page) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/chats/ses_"))
    before = page.url
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    expect(page).not_to_have_url(before)
    expect(page.get_by_role("heading", name="[Paddock] New session")).to_be_visible()
    page.get_by_label("Message").fill("/say named")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("heading", name="/say named")).to_be_visible()
    expect(links(page).first).to_contain_text("/say named")
