"""Signing in and out, coming back, tokens, another device."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

from tests.support.stack import Stack

SEEN = 20_000


def answer_to(running: Stack, token: str) -> int:
    """The status of what a token is answered."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{running.url}/api/me", headers=headers, trust_env=False).status_code


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
