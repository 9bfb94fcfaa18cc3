"""Answers that stream in while things break: nothing is lost, nothing is shown twice, and the log is what all pages show."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Watch
from tests.browser.talk import log_of, new_chat, opened, runs_of, said_in, send, state
from tests.support.stack import Stack


def answer_of(talk: Locator) -> Locator:
    return talk.get_by_role("article", name="Agent").filter(has_text="word")


def assert_is_the_log(page: Page, talk: Locator, running: Stack, chat: str) -> None:
    """The answer on the page is that of the log, word by word."""
    expect(state(page, "Done")).to_be_visible(timeout=60_000)
    with running.client() as client:
        said = said_in(log_of(client, runs_of(client, chat)[-1]["runId"]))
    assert [" ".join(shown.split()) for shown in answer_of(talk).all_inner_texts()] == [
        " ".join(text.split()) for text in said
    ]


def test_a_page_that_is_loaded_again_in_mid_stream_goes_on(page: Page, running: Stack) -> None:
    chat = new_chat(running)
    talk = opened(page, chat)
    send(page, "/say a word before\n/slow 40 100")
    expect(answer_of(talk)).to_have_count(2)
    page.reload()
    expect(answer_of(talk)).to_have_count(2)
    assert_is_the_log(page, talk, running, chat)


def test_a_network_that_goes_and_comes_leaves_no_gap(page: Page, running: Stack, watch: Watch) -> None:
    chat = new_chat(running)
    talk = opened(page, chat)
    send(page, "/slow 60 100")
    expect(answer_of(talk)).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("Offline, nothing is lost")).to_be_visible()
    expect(answer_of(talk)).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Offline, nothing is lost")).to_have_count(0)
    assert_is_the_log(page, talk, running, chat)
    watch.forgive("net::ERR_INTERNET_DISCONNECTED", at_least=0)
