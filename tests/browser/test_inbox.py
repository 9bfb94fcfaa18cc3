"""What people are asked, in one place over all sessions: answered there, seen everywhere, told to who looks away."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

from tests.support.stack import Stack
from tests.support.waiting import eventually

SEEN = 20_000
NOTICES = """
window.notices = [];
window.Notification = class {
  static permission = 'default';
  static requestPermission() { Notification.permission = 'granted'; return Promise.resolve('granted'); }
  constructor(title, options) { window.notices.push([title, options.body]); }
  close() {}
};
document.hasFocus = () => false;
"""
"""Chromium without a screen shows no notifications; what a page asks of it is kept instead."""


def ask(client: httpx.Client, running: Stack, prompt: str, name: str) -> None:
    """Have an agent ask for something, and wait until somebody is waited for."""
    run_id = running.start(client, prompt, title=name)
    path = "/api/human-loop/pending"
    eventually(lambda: client.get(path, params={"runId": run_id}).json()["items"], what="the agent to ask")


def test_what_is_asked_anywhere_is_answered_in_the_inbox(page: Page, elsewhere: Page, running: Stack) -> None:
    with running.client() as client:
        ask(client, running, "/approve write a.txt", "first")
        ask(client, running, "/ask Color? | Red | Blue", "second")
    page.goto("/")
    expect(page.get_by_role("link", name="Inbox, 2 waiting")).to_be_visible(timeout=SEEN)
    page.get_by_role("region", name="History").wait_for()
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(f"{running.url}/inbox")
    expect(page).to_have_title("(2) Inbox · Paddock")
    elsewhere.goto("/inbox")
    cards = page.locator("[data-request]")
    expect(cards).to_have_count(2)
    expect(elsewhere.locator("[data-request]")).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("first")

    page.keyboard.press("j")
    expect(cards.nth(0)).to_be_focused()
    page.keyboard.press("a")
    for each in (page, elsewhere):
        expect(each.locator("[data-request]").nth(0)).to_contain_text("Allowed once", timeout=SEEN)
        expect(each.locator("[data-request]")).to_have_count(2)
        expect(each.get_by_role("link", name="Inbox, 1 waiting")).to_be_visible(timeout=SEEN)
    cards.nth(1).get_by_text("Blue").click()
    cards.nth(1).get_by_role("button", name="Answer", exact=True).click()
    expect(cards.nth(1)).to_contain_text("Blue")
    expect(page.get_by_role("link", name="Inbox", exact=True)).to_be_visible(timeout=SEEN)

    page.reload()
    expect(page.get_by_text("Nobody is waited for.")).to_be_visible()
    expect(page.get_by_role("heading", name="Answered")).to_be_visible()
    expect(cards).to_have_count(2)


def test_who_looks_away_is_told_once_and_only_when_wanted(page: Page, running: Stack) -> None:
    page.add_init_script(NOTICES)
    page.goto("/inbox")
    switch = page.get_by_role("button", name="Notify me here")
    expect(switch).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("Notification.permission") == "default"
    switch.click()
    expect(switch).to_have_attribute("aria-pressed", "true")
    with running.client() as client:
        ask(client, running, "/approve write b.txt", "wants something")
        eventually(lambda: told(page), what="a notice")
        ask(client, running, "/approve write c.txt", "and more")
        eventually(lambda: len(told(page)) > 1, what="another notice")
    assert [title for title, _ in told(page)] == ["An agent waits for you"] * 2
    assert [body.splitlines()[0] for _, body in told(page)] == ["wants something", "and more"]


def told(page: Page) -> list[list[str]]:
    return list(page.evaluate("window.notices"))
