"""A conversation as a person has it: opening a chat, saying something, what is seen of the answer."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.support.stack import Stack
from tests.support.waiting import eventually

CHATS = "/api/chat-opencode-history"


def new_chat(running: Stack) -> str:
    """Make an empty chat and return its id."""
    with running.client() as client:
        answer = client.post(CHATS, json={"title": "A test"}, headers={"Idempotency-Key": uuid.uuid4().hex})
        return str(answer.json()["chatId"])


def opened(page: Page, chat: str) -> Locator:
    """Open a chat and return its conversation."""
    page.goto(f"/chats/{chat}")
    talk = page.get_by_role("log", name="Conversation")
    expect(talk).to_be_visible()
    return talk


def send(page: Page, text: str) -> None:
    box = page.get_by_label("Message", exact=True)
    box.fill(text)
    box.press("Enter")


def state(page: Page, words: str) -> Locator:
    """The state of the chat's run, in these words."""
    return page.locator("header").get_by_role("status").filter(has_text=words)


def runs_of(client: httpx.Client, chat: str) -> list[dict[str, Any]]:
    """The runs of a chat, in the order in which they were made."""
    items: list[dict[str, Any]] = client.get("/api/runs", params={"sessionId": chat}).json()["items"]
    return sorted(items, key=lambda run: str(run["runId"]))


def log_of(client: httpx.Client, run: str) -> list[dict[str, Any]]:
    """All events of a run that has ended."""
    eventually(lambda: client.get(f"/api/runs/{run}").json().get("finishedAt"), 60, what="the run to end")
    found: list[dict[str, Any]] = []
    while True:
        page = client.get(f"/api/runs/{run}/events", params={"cursor": str(len(found)), "limit": 500}).json()
        found += page["items"]
        if not page["items"]:
            return found


def said_in(events: list[dict[str, Any]]) -> list[str]:
    """The whole texts that the agent said, as the log has them."""
    return [event["data"]["text"] for event in events if event["type"] == "message.stop"]
