"""Messages that wait in line while the agent works, and stopping it."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.talk import new_chat, opened, runs_of, send, state
from tests.support.stack import Stack
from tests.support.waiting import eventually


def prompts(queue: Locator) -> Locator:
    return queue.get_by_role("listitem")


def test_messages_wait_in_line_change_places_and_are_taken_back(page: Page, running: Stack) -> None:
    chat = new_chat(running)
    opened(page, chat)
    send(page, "/sleep 600")
    expect(state(page, "Running")).to_be_visible()
    for name in ("one", "two", "three", "four"):
        send(page, f"/say {name}")
        expect(prompts(page.get_by_role("region", name="Messages that wait")).last).to_contain_text(f"/say {name}")
    queue = page.get_by_role("region", name="Messages that wait")
    expect(prompts(queue)).to_have_text([f"/say {name}" for name in ("one", "two", "three", "four")])
    expect(page.get_by_role("article", name="You")).to_have_count(1)

    later = queue.get_by_role("button", name="Later: /say one")
    later.focus()
    page.keyboard.press("Enter")
    expect(prompts(queue)).to_have_text([f"/say {name}" for name in ("two", "one", "three", "four")])
    prompts(queue).nth(3).drag_to(prompts(queue).nth(0))
    expect(prompts(queue)).to_have_text([f"/say {name}" for name in ("four", "two", "one", "three")])
    queue.get_by_role("button", name="Take back: /say one").click()
    expect(prompts(queue)).to_have_text([f"/say {name}" for name in ("four", "two", "three")])

    page.get_by_label("Message", exact=True).fill("not yet sent")
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Stop this run?").get_by_role("button", name="Cancel").click()
    expect(state(page, "Running")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()

    expect(state(page, "Done")).to_be_visible(timeout=30_000)
    expect(queue).to_have_count(0)
    with running.client() as client:
        runs = eventually(lambda: all_ended(runs_of(client, chat)), what="all runs to end")
    assert [run["status"] for run in runs] == ["canceled", "canceled", "succeeded", "succeeded", "succeeded"]
    expect(page.get_by_role("article", name="You")).to_have_text(
        ["/sleep 600", "/say four", "/say two", "/say one", "/say three"], use_inner_text=True
    )
    page.reload()
    expect(page.get_by_label("Message", exact=True)).to_have_value("not yet sent")


def all_ended(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs once all of them have ended."""
    return runs if all(run.get("finishedAt") for run in runs) else []
