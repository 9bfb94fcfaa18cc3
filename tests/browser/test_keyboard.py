"""The portal without a mouse: all can be done, one sees where one is, and is nowhere else because something closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as Late

from tests.browser import talk
from tests.browser.conftest import Watch
from tests.support.stack import Stack

MOST_TABS = 60
FOCUS = """
() => {
  const here = document.activeElement;
  if (!here || here === document.body) return { isLost: true, isSeen: false };
  const box = here.getBoundingClientRect();
  const outlined = each => getComputedStyle(each).outlineStyle !== 'none' && parseFloat(getComputedStyle(each).outlineWidth) > 0;
  const around = [here, here.parentElement, here.parentElement?.parentElement].filter(Boolean);
  const marked = here.getAttribute('aria-activedescendant');
  return {
    isLost: false,
    isSeen: box.width > 0 && box.height > 0 && (around.some(outlined) || (marked !== null && document.getElementById(marked) !== null)),
    what: here.outerHTML.slice(0, 200),
  };
}
"""


@dataclass
class Keys:
    """Somebody at the keyboard, who looks after each key whether the focus can be seen."""

    page: Page

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.see()

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def see(self) -> None:
        """The focus is somewhere, and shown. What takes it may still be loading."""
        try:
            self.page.wait_for_function(f"() => ({FOCUS})().isSeen", timeout=10_000)
        except Late:
            raise AssertionError(self.page.evaluate(FOCUS)) from None

    def tab_to(self, wanted: Locator, key: str = "Tab") -> None:
        """Press Tab until the focus is there."""
        expect(wanted).to_be_visible()
        for _ in range(MOST_TABS):
            if wanted.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press(key)
            if not self.page.evaluate(FOCUS)["isLost"]:  # beyond the last there is the browser itself
                self.see()
        raise AssertionError(f"not reached by {key}: {wanted}")


def test_a_day_without_a_mouse(stranger: Page, running: Stack, watch: Watch) -> None:
    page, keys = stranger, Keys(stranger)
    page.goto("/")
    expect(page.get_by_label("API token")).to_be_focused()
    keys.type(running.token)
    keys.press("Enter")

    message = page.get_by_label("Message", exact=True)
    expect(message).to_be_focused()
    keys.type("/slow 300 100")
    keys.press("Enter")
    expect(talk.state(page, "Running")).to_be_visible()
    keys.press("Escape")
    question = page.get_by_role("dialog", name="Stop this run?")
    keys.tab_to(question.get_by_role("button", name="Stop the run"))
    keys.press("Enter")
    expect(talk.state(page, "Stopped")).to_be_visible()
    expect(message).to_be_focused()

    keys.type("/write a.txt first line")
    keys.press("Shift+Enter")
    keys.type("/ask Which branch? | main | release")
    keys.press("Enter")
    answer_what_is_asked(page, keys)
    look_at_a_file(page, keys)
    rename_the_chat(page, keys)
    leave(page, keys)
    watch.forgive("401", at_least=2)  # who is not signed in is asked who it is


def answer_what_is_asked(page: Page, keys: Keys) -> None:
    conversation = page.get_by_role("log", name="Conversation")
    expect(conversation.get_by_role("button", name="Allow once")).to_be_visible()
    keys.press("Escape")  # there is something at work: asks, and goes away again
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    keys.tab_to(conversation.get_by_role("region", name="Allow this?"), "Shift+Tab")
    keys.press("a")
    expect(conversation.get_by_text("Allowed once")).to_be_visible()
    keys.see()
    expect(conversation.get_by_role("region", name="The agent asks")).to_be_visible()
    for _ in range(5):
        keys.press("k")
    for _ in range(6):
        keys.press("j")
    expect(conversation.get_by_role("region", name="The agent asks")).to_be_focused()
    keys.tab_to(conversation.get_by_role("radio", name="main"))
    keys.press("ArrowDown")
    expect(conversation.get_by_role("radio", name="release")).to_be_checked()
    keys.press("Enter")
    expect(talk.state(page, "Done")).to_be_visible()
    keys.see()


def look_at_a_file(page: Page, keys: Keys) -> None:
    panel = page.get_by_role("complementary", name="Beside the conversation")
    keys.tab_to(panel.get_by_role("tab", name="Todos"))
    keys.press("ArrowRight", "ArrowRight")
    tree = panel.get_by_role("tree", name="Files")
    keys.tab_to(tree)
    keys.press("Enter")
    dialog = page.get_by_role("dialog", name="a.txt")
    expect(dialog.get_by_text("first line")).to_be_visible()
    keys.press("Escape")
    expect(dialog).to_have_count(0)
    expect(tree).to_be_focused()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Next message")
    keys.press("Escape")
    expect(tree).to_be_focused()


def rename_the_chat(page: Page, keys: Keys) -> None:
    keys.press("/", "ArrowDown", "F2")
    keys.type("Named by hand")
    keys.press("Enter")
    named = page.get_by_role("region", name="History").get_by_role("link", name=re.compile("Named by hand"))
    expect(named).to_be_focused()
    keys.tab_to(page.get_by_role("button", name="Actions for Named by hand"))
    keys.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()  # a menu takes keys a moment after it is seen
    keys.press("End")
    expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    keys.press("Enter")
    expect(page.get_by_role("dialog", name="Delete “Named by hand”?")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Actions for Named by hand")).to_be_focused()


def leave(page: Page, keys: Keys) -> None:
    keys.tab_to(page.get_by_role("button", name="Account"), "Shift+Tab")
    keys.press("Enter")
    keys.tab_to(page.get_by_role("radio", name="Like the system"))
    keys.press("ArrowRight", "ArrowRight")
    expect(page.locator("html[data-theme=dark]")).to_have_count(1)
    keys.press("Escape")
    expect(page.get_by_role("button", name="Account")).to_be_focused()
    keys.press("Enter")
    keys.tab_to(page.get_by_role("button", name="Sign out"))
    page.keyboard.press("Enter")
    expect(page.get_by_label("API token")).to_be_focused()


def test_on_a_phone_the_panel_gives_the_focus_back(page: Page, running: Stack) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    talk.opened(page, talk.new_chat(running))
    keys = Keys(page)
    panel = page.get_by_role("complementary", name="Beside the conversation")
    switch = page.get_by_role("button", name="Show or hide the side panel")
    keys.tab_to(switch, "Shift+Tab")
    for closing in ("Escape", "Enter"):
        keys.press("Enter")
        expect(panel.get_by_role("tab", name="Todos")).to_be_focused()
        if closing == "Enter":
            keys.tab_to(panel.get_by_role("button", name="Hide the side panel"))
        keys.press(closing)
        expect(panel).to_have_count(0)
        expect(switch).to_be_focused()
    keys.press("Enter")
    keys.tab_to(switch)  # which lies below the panel, if that is still there
    expect(panel).to_have_count(0)
