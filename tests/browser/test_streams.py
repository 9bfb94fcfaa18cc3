"""Answers that stream in while things break: nothing is lost, nothing is shown twice, and the log is what all pages show."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, WebSocketRoute, expect

from tests.browser.conftest import Watch
from tests.browser.talk import log_of, new_chat, opened, runs_of, said_in, send, state
from tests.support.stack import Stack
from tests.support.waiting import eventually


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


def test_a_laptop_that_slept_for_a_minute_goes_on_where_it_was(page: Page, running: Stack) -> None:
    """Its connection is dead and nobody has told it: no end, no word, as behind a router that has forgotten it."""
    asleep: list[bool] = []
    sockets: list[str] = []
    page.route_web_socket("**/ws/runs/**", lambda route: dead_after_sleep(route, asleep, sockets))
    page.clock.install()
    chat = new_chat(running)
    talk = opened(page, chat)
    send(page, "/slow 40 50\n/approve go on\n/slow 10 50")
    expect(answer_of(talk)).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 5)
    asleep.append(True)
    with running.client() as client:
        run = runs_of(client, chat)[-1]["runId"]
        path = f"/api/runs/{run}"
        eventually(lambda: client.get(path).json()["status"] == "waiting_human", 60, what="the agent to go on alone")
    expect(talk.get_by_role("button", name="Allow once")).to_have_count(0)

    page.clock.fast_forward("01:00")
    page.clock.resume()
    talk.get_by_role("button", name="Allow once").click()
    assert_is_the_log(page, talk, running, chat)
    assert len(sockets) == 2
    assert int(sockets[1].partition("cursor=")[2]) > 0


def dead_after_sleep(route: WebSocketRoute, asleep: list[bool], sockets: list[str]) -> None:
    """Pass everything on, and from the moment of sleep nothing of the connections that were open then."""
    server = route.connect_to_server()
    sockets.append(route.url)
    is_old = not asleep
    server.on_message(lambda message: None if asleep and is_old else route.send(message))
    server.on_close(lambda code, reason: None if asleep and is_old else route.close(code=code, reason=reason))


def test_two_browsers_on_one_chat_stay_equal(page: Page, elsewhere: Page, running: Stack) -> None:
    chat = new_chat(running)
    talks = [opened(each, chat) for each in (page, elsewhere)]
    send(page, "/think how\n/slow 30 100\n/approve Both see this")
    for talk in talks:
        expect(answer_of(talk)).to_be_visible(timeout=20_000)
    talks[1].get_by_role("button", name="Allow once").click(timeout=20_000)
    for talk in talks:
        expect(talk.get_by_text("Allowed once")).to_be_visible()
    for each in (page, elsewhere):
        expect(state(each, "Done")).to_be_visible(timeout=20_000)
    send(elsewhere, "/say the last word")
    for talk in talks:
        expect(talk.get_by_text("the last word", exact=True)).to_be_visible(timeout=20_000)
    shown = [talk.get_by_role("article").all_inner_texts() for talk in talks]
    assert shown[0] == shown[1]


def test_a_log_that_is_not_the_one_that_was_read_is_read_again(page: Page, running: Stack) -> None:
    """As after a backup was played back: the server says `reset`, and nothing of before is left on the page."""
    chat = new_chat(running)
    said: list[str] = []
    page.route_web_socket(
        "**/ws/runs/**",
        lambda route: reset_once(route, said),
    )
    talk = opened(page, chat)
    send(page, "/slow 60 100")
    expect(answer_of(talk)).to_be_visible()
    assert_is_the_log(page, talk, running, chat)
    assert said.count("reset") == 1


def reset_once(route: WebSocketRoute, said: list[str]) -> None:
    """Pass on ten messages, then a reset in the place of the rest; later connections are left alone."""
    server = route.connect_to_server()
    passed: list[str | bytes] = []

    def pass_on(message: str | bytes) -> None:
        if "reset" in said:
            route.send(message)
            return
        passed.append(message)
        if len(passed) == 10:
            said.append("reset")
            route.send('{"type": "heartbeat", "lastSeq": 10}')
            route.send('{"type": "reset", "cursor": 0}')
        else:
            route.send(message)

    server.on_message(pass_on)
