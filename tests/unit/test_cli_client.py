"""The command line's client: events over lost connections, problems, retries, and where the token may go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli import client as client_module
from cli import house, sse
from cli.client import Client
from cli.connection import connect
from cli.errors import CommandFailed, Unreachable

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", pauses.append)
    return pauses


def client_of(handler: Handler) -> Client:
    return Client("http://paddock.test", "pdk_secret", transport=httpx.MockTransport(handler))


def envelope(seq: int, kind: str = "message.delta", **data: Any) -> dict[str, Any]:
    return {"id": f"evt_{seq}", "runId": "run_1", "seq": seq, "type": kind, "data": data}


def as_sse(*envelopes: dict[str, Any]) -> str:
    return "".join(f"id: {e['seq']}\nevent: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in envelopes)


class CutStream(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self._text.encode()
        raise httpx.ReadError("connection reset")


def test_sse_joins_data_lines_ignores_comments_and_drops_a_cut_event() -> None:
    lines = [": hello", "id: 7", "event: x", "data: a", "data: b", "", "retry: 5", "", "data: lost"]
    assert list(sse.parse(lines)) == [sse.ServerEvent("x", "a\nb", "7")]


def test_a_connection_that_was_lost_while_events_were_shown_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [
        httpx.Response(200, stream=CutStream(as_sse(envelope(1)))),
        httpx.Response(200, text=as_sse(envelope(2, "run.closed"))),
    ]
    now = [0.0]
    monkeypatch.setattr(client_module.time, "monotonic", lambda: now[0])
    seen = []
    for event in client_of(lambda _: bodies.pop(0)).follow("run_1"):
        seen.append(event["seq"])
        now[0] += 2 * client_module.PATIENCE_SECONDS  # the terminal was stopped meanwhile
    assert seen == [1, 2]


def test_following_resumes_after_the_last_seq_and_drops_what_it_has() -> None:
    cursors = []
    bodies = [
        httpx.Response(200, stream=CutStream(as_sse(envelope(1), envelope(2)) + "id: 3\ndata: {")),
        httpx.Response(503, json={"title": "restarting"}),
        httpx.Response(200, text=as_sse(envelope(2), envelope(3), envelope(4, "run.closed"))),
    ]

    def handle(request: httpx.Request) -> httpx.Response:
        cursors.append(request.url.params["cursor"])
        return bodies[len(cursors) - 1]

    seqs = [each["seq"] for each in client_of(handle).follow("run_1")]
    assert seqs == [1, 2, 3, 4]
    assert cursors == ["0", "2", "2"]


def test_a_stream_that_ends_early_is_taken_up_again() -> None:
    bodies = [as_sse(envelope(1)), as_sse(envelope(2, "run.closed"))]
    client = client_of(lambda _request: httpx.Response(200, text=bodies.pop(0)))
    assert [each["seq"] for each in client.follow("run_1")] == [1, 2]


def test_heartbeats_are_no_events_and_a_reset_begins_again() -> None:
    text = "event: heartbeat\ndata: {}\n\nevent: reset\ndata: {}\n\n" + as_sse(envelope(1), envelope(2, "run.closed"))
    client = client_of(lambda _request: httpx.Response(200, text=text))
    assert [each["seq"] for each in client.follow("run_1", cursor=99)] == [1, 2]


def test_following_a_run_that_one_may_not_see_says_so_at_once() -> None:
    problem = {"title": "Not found", "detail": "There is no such run.", "code": "not_found", "remedy": "Check the id."}
    client = client_of(lambda _request: httpx.Response(404, json=problem))
    with pytest.raises(CommandFailed) as caught:
        list(client.follow("run_1"))
    assert (caught.value.code, caught.value.remedy, caught.value.status) == ("not_found", "Check the id.", 404)


def test_every_post_carries_a_key_that_stays_the_same_when_it_is_sent_again() -> None:
    keys = []

    def handle(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ReadError("lost")
        return httpx.Response(503 if len(keys) == 2 else 202, json={"runId": "run_1"})

    client = client_of(handle)
    assert client.post("/api/runs/start", {"prompt": "x"}) == {"runId": "run_1"}
    client.post("/api/runs/start", {"prompt": "x"})
    assert len(keys) == 4
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_a_refusal_is_not_sent_again() -> None:
    calls = []

    def handle(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(422, json={"title": "Invalid", "errors": [{"field": "model", "message": "is empty"}]})

    with pytest.raises(CommandFailed) as caught:
        client_of(handle).post("/api/runs/start", {})
    assert caught.value.detail == "model: is empty"
    assert len(calls) == 1


def test_nobody_there_ends_with_what_to_do() -> None:
    def handle(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable) as caught:
        client_of(handle).get("/api/runs")
    assert "make up" in caught.value.remedy


def test_pages_go_on_to_the_limit_and_no_further() -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        start = int(request.url.params.get("cursor", 0))
        count = min(int(request.url.params["limit"]), 2)
        return httpx.Response(200, json={"items": list(range(start, start + count)), "nextCursor": str(start + count)})

    assert list(client_of(handle).pages("/api/runs", 5, status="failed")) == [0, 1, 2, 3, 4]
    assert [page["limit"] for page in asked] == ["5", "3", "1"]
    assert all(page["status"] == "failed" for page in asked)


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PADDOCK_URL", "PADDOCK_TOKEN", "PADDOCK_HOST", "PADDOCK_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PADDOCK_VAR", str(tmp_path))
    monkeypatch.setattr(house, "ROOT", tmp_path)  # no .env of this checkout
    return tmp_path


def test_the_local_installation_is_found_by_its_folder(installation: Path) -> None:
    (installation / "owner-token").write_text("pdk_local\n")
    assert connect().url == "http://127.0.0.1:8000"


def test_the_local_token_never_goes_to_another_address(installation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (installation / "owner-token").write_text("pdk_local\n")
    monkeypatch.setenv("PADDOCK_URL", "https://elsewhere.example")
    with pytest.raises(CommandFailed, match="No token"):
        connect()


def test_without_an_installation_the_message_says_how_to_start_one(installation: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        connect()
    assert str(installation) in caught.value.title
    assert "make up" in caught.value.remedy


def test_the_env_file_of_the_checkout_is_read_and_the_environment_wins(
    installation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (installation / ".env").write_text("PADDOCK_PORT=9001\nPADDOCK_HOST=0.0.0.0\n")
    monkeypatch.setenv("PADDOCK_HOST", "127.0.0.2")
    monkeypatch.setenv("PADDOCK_VAR", "some/where")
    found = house.enter()
    assert house.address() == "http://127.0.0.2:9001"
    assert found.var == installation / "some" / "where"
    for name in ("PADDOCK_PORT",):
        monkeypatch.delenv(name)
