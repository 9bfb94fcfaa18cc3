"""What agents ask of people, in the conversation: allowing, denying, answering, and being second."""

from __future__ import annotations

import uuid

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.talk import new_chat, opened, runs_of, send, state
from tests.support.stack import Stack
from tests.support.waiting import eventually


def test_a_person_allows_denies_and_answers(page: Page, running: Stack) -> None:
    chat = new_chat(running)
    talk = opened(page, chat)
    send(
        page,
        "/todo [x] look; [>] write; check\n/write made.txt by hand\n/run touch never.txt\n"
        "/ask+ Which colours? | Red | Blue\n/ask And what else?\n/todo [x] look; [x] write; check",
    )

    first = talk.get_by_role("region", name="Allow this?").filter(has_text="made.txt")
    expect(first).to_contain_text("Asked because of the rule")
    expect(first.get_by_role("group", name="Changes in made.txt")).to_contain_text("by hand")
    expect(state(page, "Waiting for you")).to_be_visible()
    plan = page.get_by_role("region", name="Plan")
    expect(plan).to_contain_text("1 of 3")
    first.focus()
    page.keyboard.press("a")
    expect(first.get_by_role("status")).to_have_text("Allowed once")

    second = talk.get_by_role("region", name="Allow this?").filter(has_text="touch never.txt")
    second.get_by_role("button", name="Deny…").click()
    second.get_by_label("Reason").fill("leave it")
    second.get_by_role("button", name="Deny", exact=True).click()
    expect(second.get_by_role("status")).to_contain_text("leave it")

    third = talk.get_by_role("region", name="The agent asks").filter(has_text="Which colours?")
    answer = third.get_by_role("button", name="Answer", exact=True)
    expect(answer).to_be_disabled()
    third.get_by_label("Red").check()
    third.get_by_label("Own answer to: Which colours?").fill("Violet")
    answer.click()
    expect(third.get_by_role("status")).to_contain_text("Red, Violet")
    fourth = talk.get_by_role("region", name="The agent asks").filter(has_text="And what else?")
    fourth.get_by_role("textbox").fill("Nothing, thank you.")
    fourth.get_by_role("textbox").press("Enter")
    expect(state(page, "Done")).to_be_visible()
    expect(plan).to_contain_text("2 of 3")
    changes = page.get_by_role("region", name="How it changed")
    expect(changes.get_by_role("list").first.locator("> li")).to_have_count(2)
    expect(talk.get_by_role("button", name="touch never.txt")).to_contain_text("Denied")

    page.reload()
    expect(first.get_by_role("status")).to_have_text("Allowed once")
    expect(second.get_by_role("status")).to_contain_text("leave it")
    expect(third.get_by_role("status")).to_contain_text("Red, Violet")
    expect(fourth.get_by_role("status")).to_contain_text("Nothing, thank you.")


def test_who_comes_second_is_told_so_and_the_card_stays(page: Page, running: Stack) -> None:
    chat = new_chat(running)
    deaf: list[WebSocketRoute] = []
    page.route_web_socket("**/ws/runs/**", lambda route: hear(route, deaf))
    talk = opened(page, chat)
    send(page, "/approve Launch it")
    card = talk.get_by_role("region", name="Allow this?")
    allow = card.get_by_role("button", name="Allow once")
    expect(allow).to_be_visible()
    deaf.append(deaf[0])  # from here on the page does not hear what goes on
    with running.client() as client:
        asked = eventually(
            lambda: client.get("/api/human-loop/pending", params={"sessionId": chat}).json()["items"], what="a request"
        )
        reply = {"requestId": asked[0]["requestId"], "decision": "deny", "message": "not today"}
        answer = client.post("/api/human-loop/reply", json=reply, headers={"Idempotency-Key": uuid.uuid4().hex})
        assert answer.json()["duplicate"] is False

        allow.click()

        expect(card).to_contain_text("Already answered")
        expect(card).to_contain_text("Denied")
        expect(card).to_contain_text("not today")
        (run,) = runs_of(client, chat)
        ended = eventually(lambda: client.get(f"/api/runs/{run['runId']}").json().get("finishedAt"), what="the end")
        assert ended


def hear(route: WebSocketRoute, deaf: list[WebSocketRoute]) -> None:
    """Pass on what the server says until `deaf` has two."""
    server = route.connect_to_server()
    deaf.append(route)
    server.on_message(lambda message: route.send(message) if len(deaf) < 2 else None)
