"""Claude Code's own binary as a person works with it in the portal: what it would change is seen, allowed, and made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import needs_portal
from tests.browser.talk import new_chat, opened, send, state
from tests.support.model_server import ModelServer
from tests.support.stack import Stack, claude_code, stack

pytestmark = pytest.mark.real_agent

SEEN = 60_000


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    needs_portal()
    with (
        ModelServer() as model,
        stack({"PADDOCK_DEFAULT_PROVIDER": "claude-code", **claude_code(model)}) as started,
    ):
        yield started


def test_a_change_is_seen_allowed_and_made(page: Page, running: Stack) -> None:
    chat = new_chat(running)
    talk = opened(page, chat)
    send(
        page, "[[write:greeting.txt:good morning]][[edit:greeting.txt:morning:evening]][[text:It is **evening** now.]]"
    )
    made = talk.get_by_role("region", name="Allow this?").filter(has_text="greeting.txt")
    expect(made).to_have_count(1, timeout=SEEN)
    expect(made.get_by_role("group", name="Changes in")).to_contain_text("good morning")
    made.get_by_role("button", name="Allow once").click()

    changed = made.filter(has=page.get_by_role("button", name="Allow once"))
    expect(changed.get_by_role("group", name="Changes in")).to_contain_text("-morning+evening", timeout=SEEN)
    changed.get_by_role("button", name="Allow once").click()
    expect(talk.get_by_text("It is evening now.")).to_be_visible(timeout=SEEN)
    expect(state(page, "Done")).to_be_visible(timeout=SEEN)
    diff = talk.get_by_role("group", name="Changes in").last
    expect(diff).to_contain_text("-morning+evening")
    page.reload()
    expect(diff).to_contain_text("-morning+evening")
    assert "greeting.txt" in running.paddock("files", chat).stdout
