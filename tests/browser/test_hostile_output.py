"""What an agent says, does and puts out is text: nothing of it runs on the page, loads anything, or leads anywhere it may not."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.talk import new_chat, opened, send, state
from tests.support.stack import Stack

CORPUS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror=window.hacked=1>",
    "![picture](http://evil.example/x.png) ![data](data:image/svg+xml,<svg onload=window.hacked=1>)",
    "[click](javascript:window.hacked=1) [tab](java&#9;script:window.hacked=1) <javascript:window.hacked=1>",
    "[relative](/api/auth/logout) [data](data:text/html,<script>1</script>) [file](file:///etc/passwd)",
    '<svg onload="window.hacked=1"><a href="javascript:1"><text>x</text></a></svg>',
    '<iframe src="http://evil.example/"></iframe><object data="x.swf"></object><embed src="x"><base href="http://evil.example/">',
    '<style>@import url("http://evil.example/x.css")</style><link rel=stylesheet href=http://evil.example/y.css>',
    '<form action="http://evil.example/"><button formaction="javascript:window.hacked=1">x</button></form>',
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "[a]: http://evil.example/ 'title' onmouseover=window.hacked=1",
    "```html <script>window.hacked=1</script>",
    "\x1b]8;;http://evil.example/\x07click\x1b]8;;\x07 \x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07",
    "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1} %3Cscript%3E",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "| a | b |\\n|---|---|\\n| <b onclick=window.hacked=1>x</b> | [x](vbscript:1) |",
]


HIDDEN = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


@pytest.mark.parametrize("directive", ["/say", "/think", "/read"])
def test_nothing_that_is_said_thought_or_done_runs(page: Page, running: Stack, directive: str) -> None:
    talk = at(page, running)
    send(page, "\n".join(f"{directive} {each}" for each in CORPUS) + "\n/say That is all.")
    expect(state(page, "Done")).to_be_visible(timeout=30_000)
    expect(talk.get_by_text("That is all.", exact=True)).to_be_visible()
    for closed in talk.locator("summary").all():
        closed.click()
    assert_is_text(page, talk)


def test_nothing_that_is_put_out_runs(page: Page, running: Stack) -> None:
    talk = at(page, running)
    lines = "\n".join(CORPUS).encode().hex()
    send(page, f"/run python3 -c \"print(bytes.fromhex('{lines}').decode())\"")
    talk.get_by_role("button", name="Allow once").click()
    expect(state(page, "Done")).to_be_visible(timeout=30_000)
    talk.get_by_role("button", name="python3 -c").click()
    expect(talk.get_by_text("<script>window.hacked = 1</script>").first).to_be_visible()
    assert_is_text(page, talk)


def test_what_is_asked_is_what_would_be_done(page: Page, running: Stack) -> None:
    talk = at(page, running)
    send(page, "/run " + " ".join(CORPUS))
    card = talk.get_by_role("region", name="Allow this?")
    expect(card).to_contain_text("\\u202Egnp.exe", timeout=20_000)
    expect(card).to_contain_text("\\u001B[31mred")
    assert_is_text(page, talk)
    card.get_by_role("button", name="Deny…").click()
    card.get_by_role("button", name="Deny", exact=True).click()
    expect(state(page, "Done")).to_be_visible(timeout=30_000)
    assert_is_text(page, talk)


def test_what_hides_is_written_out_in_the_plan_the_timeline_and_the_inbox(page: Page, running: Stack) -> None:
    talk = at(page, running)
    hidden = "\u202egnp.exe\u202c"
    send(page, f"/todo [>] {hidden}; other\n/approve {hidden}")
    expect(talk.get_by_role("region", name="Allow this?")).to_contain_text("\\u202Egnp.exe")
    for tab in ("Todos", "Timeline"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tabpanel")).to_contain_text("\\u202Egnp.exe")
        assert HIDDEN.findall(page.get_by_role("tabpanel").inner_text()) == []
    page.goto("/inbox")
    card = page.get_by_role("region", name="Allow this?").first  # what waits comes before what was answered
    expect(card).to_contain_text("\\u202Egnp.exe")
    card.get_by_role("button", name="Allow once").click()
    expect(card).to_contain_text("Allowed once")
    assert HIDDEN.findall(page.locator("main").inner_text()) == []


def at(page: Page, running: Stack) -> Locator:
    page.on("dialog", lambda dialog: pytest.fail(f"a dialog: {dialog.message}"))
    page.on("popup", lambda popup: pytest.fail(f"a window: {popup.url}"))
    return opened(page, new_chat(running))


def assert_is_text(page: Page, talk: Locator) -> None:
    assert page.evaluate("window.hacked") is None
    assert talk.locator("script, iframe, object, embed, img, form[action], style, link, base, meta").count() == 0
    addresses = talk.locator("[href], [src]").evaluate_all("all => all.map((each) => each.href || each.src)")
    assert all(address.startswith(("http://", "https://", "mailto:")) for address in addresses)
    assert not any(address.startswith(page.url.split("/chats")[0]) for address in addresses)
    for link in talk.locator("a").all():
        assert link.get_attribute("rel") == "noopener noreferrer"
    handlers = "all => all.flatMap((each) => each.getAttributeNames()).filter((name) => name.startsWith('on'))"
    assert talk.locator("*").evaluate_all(handlers) == []
    assert HIDDEN.findall(talk.inner_text()) == []
