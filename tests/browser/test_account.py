"""Signing in and out, coming back, tokens, another device."""

from __future__ import annotations

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.support.stack import Stack

SEEN = 20_000


def said(page: Page, text: str) -> Locator:
    """What the agent said, word by word."""
    return page.get_by_role("article", name="Agent").get_by_text(text, exact=True)


def answer_to(running: Stack, token: str) -> int:
    """The status of what a token is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{running.url}/api/me", headers=headers, trust_env=False).status_code


def test_who_was_signed_out_comes_back_to_where_one_was(page: Page, running: Stack, watch: Watch) -> None:
    page.goto("/")
    page.get_by_role("textbox", name="Message").fill("/say I am here")
    page.keyboard.press("Enter")
    expect(said(page, "I am here")).to_be_visible(timeout=SEEN)
    before = page.url

    page.context.clear_cookies()
    expect(page.get_by_label("API token")).to_be_visible(timeout=SEEN)
    assert page.url == before
    page.get_by_label("API token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("API token").fill(running.token)
    page.get_by_role("button", name="Sign in").click()
    expect(said(page, "I am here")).to_be_visible(timeout=SEEN)
    assert page.url == before
    page.get_by_role("textbox", name="Message").fill("/say and again")
    page.keyboard.press("Enter")
    expect(said(page, "and again")).to_be_visible(timeout=SEEN)
    watch.forgive("401")


def test_a_token_is_made_shown_once_and_revoked(page: Page, running: Stack) -> None:
    page.goto("/account")
    page.get_by_label("What the token is for").fill("my script")
    page.get_by_role("button", name="Make a token").click()
    shown = page.get_by_role("status").filter(has_text="only time")
    expect(shown).to_be_visible()
    token = shown.locator("code").inner_text()
    assert answer_to(running, token) == 200
    page.get_by_role("listitem").filter(has_text="my script").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("listitem").filter(has_text="my script")).to_have_count(0)
    assert answer_to(running, token) == 401
    page.reload()
    expect(page.get_by_role("heading", name="API tokens")).to_be_visible()
    expect(page.get_by_text(token)).to_have_count(0)


def test_a_link_signs_another_device_in_once(page: Page) -> None:
    page.goto("/account")
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_role("status").filter(has_text="It works once").locator("code").inner_text()
    page.context.clear_cookies()
    page.goto(link)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("region", name="History")).to_be_visible(timeout=SEEN)


def test_agent_and_model_of_a_chat_are_chosen_and_kept(page: Page, running: Stack) -> None:
    page.goto("/")
    choice = page.get_by_role("button", name="Agent and model: Scripted (demo)")
    choice.click()
    agents = page.get_by_role("group", name="Agent")
    expect(agents.get_by_role("radio")).not_to_have_count(0)
    expect(agents.get_by_text("Not ready").first).to_be_visible()  # no key is set for real agents here
    page.get_by_role("textbox", name="Model").fill("demo-2")
    page.get_by_role("button", name="Use", exact=True).click()
    expect(page.get_by_role("button", name="Agent and model: Scripted (demo) · demo-2")).to_be_visible(timeout=SEEN)
    page.reload()
    expect(page.get_by_role("button", name="Agent and model: Scripted (demo) · demo-2")).to_be_visible(timeout=SEEN)
    with running.client() as client:
        chat = client.get(f"/api/chat-opencode-history/{page.url.rsplit('/', 1)[1]}").json()
    assert (chat["provider"], chat["model"]) == ("scripted", "demo-2")
