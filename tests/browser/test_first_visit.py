"""From nothing to the first answer, as a person sees it."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Watch
from tests.support.stack import Stack


def test_first_visit_to_first_answer(stranger: Page, running: Stack, watch: Watch) -> None:
    page = stranger
    page.goto("/")
    expect(page.get_by_label("API token")).to_be_visible()
    watch.forgive("401")  # the browser notes what /api/me answers to a stranger
    page.get_by_label("API token").fill(running.token)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(re.compile(r"/chats/ses_"))
    expect(page.get_by_role("heading", name="[Paddock] New session")).to_be_visible()
    history = page.get_by_role("region", name="History")
    expect(history.get_by_role("link")).to_have_count(1)

    page.get_by_label("Message").fill("/think about it\n/read a.txt\n/say Here you are, my friend.")
    page.get_by_role("button", name="Send").click()
    talk = page.get_by_role("log")
    expect(talk.get_by_role("article", name="Agent").get_by_text("Here you are, my friend.")).to_be_visible()
    expect(talk.get_by_role("button", name="a.txt")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible()

    page.reload()
    expect(page.get_by_role("article", name="You")).to_have_count(1)
    expect(talk.get_by_role("article", name="Agent").get_by_text("Here you are, my friend.")).to_be_visible()
    expect(talk.get_by_role("button", name="a.txt")).to_have_count(1)


def test_a_link_lands_in_the_portal_and_signing_out_leaves_it(stranger: Page, running: Stack, watch: Watch) -> None:
    page = stranger
    page.goto(json.loads(running.paddock("up", "--json").stdout)["loginLink"])
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/chats/ses_"))

    page.get_by_role("button", name="Account").click()
    expect(page.get_by_text("Signed in as")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API token")).to_be_visible()
    watch.forgive("401")


def test_web_killed_in_mid_stream_leaves_no_gap_and_no_double(page: Page, running: Stack, watch: Watch) -> None:
    page.goto("/")
    expect(page).to_have_url(re.compile(r"/chats/ses_"))
    before = page.url
    page.get_by_role("button", name="New session").click()
    expect(page).not_to_have_url(before)
    page.get_by_label("Message").fill("/slow 40 100")
    page.get_by_role("button", name="Send").click()
    answer = page.get_by_role("article", name="Agent").filter(has_text="word")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Running")).to_be_visible()
    expect(answer).to_contain_text("word")

    running.restart("web")

    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible(timeout=30_000)
    shown = answer.inner_text().split()
    assert " ".join(shown).count("word") == 40
    page.reload()
    expect(page.get_by_role("status").filter(has_text="Done")).to_be_visible()
    expect(answer).to_contain_text(" ".join(shown[-4:]))
    assert answer.inner_text().split() == shown
    watch.forgive("net::ERR_CONNECTION", at_least=0)  # how often depends on how long web was away


def test_the_portal_speaks_chinese_and_keeps_it(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Account").click()
    page.get_by_text("中文").click()
    expect(page.get_by_role("button", name="退出登录")).to_be_visible()

    page.reload()
    expect(page.get_by_role("button", name="新会话")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
