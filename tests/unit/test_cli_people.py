"""Who answered is told by name, and asked for no more often than needed."""

from __future__ import annotations

import httpx

from cli.client import Client
from cli.people import People


def test_you_and_others_are_told_apart_and_each_is_asked_for_once() -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path == "/api/me":
            return httpx.Response(200, json={"userId": "usr_me", "name": "bob"})
        items = [{"requestId": "hlr_1", "by": "usr_otto", "byName": "otto"}, {"requestId": "hlr_2", "by": None}]
        return httpx.Response(200, json={"items": items, "nextCursor": None})

    people = People(Client("http://server.test", "pdk_x", transport=httpx.MockTransport(handle)), "run_1")
    named = [people.name_of(user) for user in ("usr_me", "usr_otto", "usr_gone", "usr_otto", "usr_me")]
    assert named == ["you", "otto", "usr_gone", "otto", "you"]
    assert asked == ["/api/me", "/api/human-loop/resolved", "/api/human-loop/resolved"]


def test_where_nobody_tells_the_id_is_shown() -> None:
    client = Client("http://x.test", "pdk_x", transport=httpx.MockTransport(lambda _: httpx.Response(403, json={})))
    assert People(client, "run_1").name_of("usr_1") == "usr_1"
