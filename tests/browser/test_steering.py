"""What one does while the agent works: tell it something."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.talk import new_chat, opened, send, state
from tests.support.stack import Stack


def test_the_agent_is_told_something_while_it_works(page: Page, running: Stack) -> None:
    talk = opened(page, new_chat(running))
    send(page, "/slow 60 100")
    expect(talk.get_by_role("article", name="Agent").first).to_contain_text("word")
    page.get_by_label("Message", exact=True).fill("/say I heard you.")
    page.get_by_role("button", name="Tell it now").click()

    expect(talk.get_by_role("article", name="You")).to_have_count(2)
    expect(talk.get_by_text("I heard you.", exact=True)).to_be_visible(timeout=20_000)
    expect(state(page, "Done")).to_be_visible()
    page.reload()
    expect(talk.get_by_role("article", name="You")).to_have_count(2)
