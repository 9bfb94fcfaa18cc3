"""What holds for every view: axe finds nothing serious, in both themes, wide and on a phone, in English and 简体中文."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect

from tests.browser import talk
from tests.browser.conftest import Watch
from tests.support.portal import PORTAL
from tests.support.stack import Stack
from tests.support.waiting import eventually

AXE = PORTAL / "node_modules" / "axe-core" / "axe.min.js"
WIDE = {"width": 1440, "height": 1100}
PHONE = {"width": 390, "height": 844}
FAULTS = """
async rules => {
  const found = await axe.run(document, { resultTypes: ['violations'], ...(rules.length && { runOnly: rules }) });
  return found.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, impact, nodes }) =>
      nodes.map(({ target, failureSummary }) => `${id} (${impact}) at ${target}: ${failureSummary.split('\\n').slice(1).join(' ')}`));
}
"""
ALL_RULES: list[str] = []
COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules that what is known of the other theme says nothing about."""
EVERYTHING = """/think How would one do it?
/run echo done; exit 3
/write notes.md # Notes
Here is a [link](https://example.com) and `code`:

| a | b |
|---|---|
| 1 | 2 |

```python
print("coloured")  # and commented
```
/fail provider_error"""


def faults(page: Page, view: str) -> list[str]:
    """What axe finds in the view as it is, in both themes."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = []
    for theme, rules in (("light", ALL_RULES), ("dark", COLOURS)):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
        found += [f"{view}, {theme}: {each}" for each in page.evaluate(FAULTS, rules)]
    return found


@pytest.fixture(scope="module")
def chat(running: Stack) -> str:
    """A chat in which everything was done that one sees in a conversation, and somebody is asked for leave."""
    with running.client() as client:
        made = talk.new_chat(running)
        done = running.start(client, EVERYTHING, sessionId=made, providerOptions={"approval": "all"})
        eventually(lambda: client.get(f"/api/runs/{done}").json().get("finishedAt"), 60, what="the run to end")
        running.start(client, "/todo [x] Look; [>] Write; Say so\n/write b.txt b", sessionId=made)
        other = running.start(client, "/ask Which branch? | main | release\n/say fine", title="Asks")
        path = "/api/human-loop/pending"
        eventually(lambda: len(client.get(path).json()["items"]) == 2, 60, what="both to ask")
        assert client.get(f"/api/runs/{other}").json()["status"] == "waiting_human"
    return made


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_axe_finds_nothing_serious_in_any_view(page: Page, running: Stack, chat: str, size: dict[str, int]) -> None:
    page.set_viewport_size(ViewportSize(**size))
    found = []
    for view in views(page, chat):
        found += faults(page, view)
    assert found == []


def views(page: Page, chat: str) -> Iterator[str]:
    """Bring every view up, one after the other."""
    conversation = talk.opened(page, chat)
    expect(conversation.get_by_role("button", name="Allow once")).to_be_visible()
    conversation.get_by_role("button", name="echo done").click()
    conversation.get_by_text("Thought").click()
    yield "conversation"
    yield from panel(page)
    yield from over_the_page(page)
    history(page).get_by_role("link", name="Asks").click()
    expect(conversation.get_by_text("Which branch?", exact=True)).to_be_visible()
    yield "question"
    page.get_by_role("link", name="Inbox").click()
    expect(page.locator("[data-request]")).to_have_count(2)
    yield "inbox"
    page.get_by_role("button", name="Account").click()
    expect(page.get_by_role("dialog", name="Account")).to_be_visible()
    yield "account menu"
    page.get_by_role("link", name="Account and tokens").click()
    page.get_by_label("What the token is for").fill("tests")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_text("only time")).to_be_visible()
    yield "account"
    page.evaluate("localStorage.setItem('paddock.language', 'zh')")
    page.goto(f"/chats/{chat}")
    expect(page.get_by_role("log").locator("[data-request]")).to_be_visible()
    yield "conversation in Chinese"


def panel(page: Page) -> Iterator[str]:
    """The tabs beside a conversation (on a phone over it), and the files that they open."""
    panel = page.get_by_role("complementary", name="Beside the conversation")
    if panel.count() == 0:
        page.get_by_role("button", name="Show or hide the side panel").click()
    for tab, sign in (("Todos", "Write"), ("Timeline", "run.started"), ("Workspace", "notes.md")):
        panel.get_by_role("tab", name=tab).click()
        expect(panel.get_by_text(sign, exact=True).first).to_be_visible()
        yield tab
    panel.get_by_role("treeitem", name="notes.md").click()
    with closed_by_escape(page):
        expect(page.get_by_role("dialog").get_by_text("# Notes")).to_be_visible()
        yield "preview"
    panel.get_by_text("Changes", exact=True).click()
    panel.get_by_role("button", name="notes.md").click()
    with closed_by_escape(page):
        expect(page.get_by_role("dialog").get_by_text("# Notes")).to_be_visible()
        yield "diff"
    if page.viewport_size == PHONE:
        page.keyboard.press("Escape")
        expect(panel).to_have_count(0)


def over_the_page(page: Page) -> Iterator[str]:
    """What lies over a conversation until it is closed."""
    page.get_by_role("button", name="Agent and model").click()
    with closed_by_escape(page):
        expect(page.get_by_role("group", name="Agent")).to_be_visible()
        yield "agents"
    page.get_by_role("button", name="Stop", exact=True).click()
    with closed_by_escape(page):
        yield "question before stopping"
    history(page).get_by_role("link", name="Asks").focus()
    page.keyboard.press("?")
    with closed_by_escape(page):
        yield "keys"
    page.keyboard.press("F2")
    expect(page.get_by_label("New title")).to_be_focused()
    yield "renaming"
    page.keyboard.press("Escape")


def history(page: Page) -> Locator:
    """The list of chats, which a phone shows when it is asked for."""
    found = page.get_by_role("region", name="History")
    if not found.is_visible():
        page.get_by_role("button", name="History").click()
    expect(found).to_be_visible()
    return found


@contextlib.contextmanager
def closed_by_escape(page: Page) -> Iterator[None]:
    """A dialog or popover that is open, to be closed afterwards."""
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_count(1)
    yield
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_axe_finds_nothing_serious_before_one_is_signed_in(stranger: Page, watch: Watch) -> None:
    stranger.goto("/")
    stranger.get_by_label("API token").fill("wrong")
    stranger.keyboard.press("Enter")
    expect(stranger.get_by_role("alert")).to_be_visible()
    found = faults(stranger, "login")
    stranger.goto("/login#token=none")
    expect(stranger).to_have_title(re.compile("Paddock"))
    assert found + faults(stranger, "link") == []
    watch.forgive("401")
