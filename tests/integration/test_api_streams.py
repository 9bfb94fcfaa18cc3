"""Following a run over HTTP, on gunicorn as it is deployed: SSE, WebSocket, the UI message stream, their limits and ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import simple_websocket

from app.config import Settings
from app.container import Container, build
from app.domain.events import EventType
from app.models import AgentRun
from app.ports import EventStream
from app.services import identity
from tests import cast, factories
from tests.cast import Cast, Person
from tests.support import log_world
from tests.support import web as web_support
from tests.support.log_world import delta, draft, ending, finish, status
from tests.support.postgres import PostgresServer
from tests.support.redis import RedisServer
from tests.support.waiting import eventually
from tests.support.web import Server, serving


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_redis: RedisServer
) -> Iterator[Settings]:
    """One database and one server for the whole module: each test makes its own people and runs."""
    folder = tmp_path_factory.mktemp("streams")
    shared_redis.flush()
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), folder / "paddock.sqlite3")
        url = f"sqlite:///{folder / 'paddock.sqlite3'}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create("streams", server.template)
    yield web_support.settings_of(folder / "var", url, shared_redis.url, heartbeat_seconds=0.5)
    if request.param == "postgres":
        request.getfixturevalue("postgres").drop("streams")


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Server]:
    with serving(settings) as running:
        yield running


@pytest.fixture
def container(settings: Settings) -> Iterator[Container]:
    made = build(settings)
    yield made
    made.database.close()


@pytest.fixture
def stream(container: Container) -> EventStream:
    return container.stream


@pytest.fixture
def people(container: Container) -> Cast:
    return cast.assemble()


class Writer:
    """A run's holder without an agent."""

    def __init__(self, run: AgentRun, stream: EventStream) -> None:
        self.run, self._log, self._record = run, log_world.take_over(run.id, stream), 0

    def say(self, text: str) -> None:
        self._record += 1
        self._log.append([delta(self._record, text)])

    def state(self, name: str) -> None:
        self._log.append([status(name)])

    def add(self, kind: str, data: dict[str, Any]) -> None:
        self._record += 1
        self._log.append([draft(kind, data, self._record)])

    def end(self) -> None:
        self._log.seal(ending(), finish(self.run.id))


class Reader:
    """Reads a stream in a thread of its own, event by event."""

    def __init__(self, server: Server, who: Person, path: str, headers: dict[str, str] | None = None) -> None:
        self.events: list[dict[str, str]] = []
        self.status = 0
        self.headers: httpx.Headers = httpx.Headers()
        self.ended = threading.Event()
        self._arguments = (f"{server.url}{path}", {**who.headers, **(headers or {})})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        url, headers = self._arguments
        try:
            with httpx.stream("GET", url, headers=headers, timeout=30, trust_env=False) as response:
                self.status, self.headers = response.status_code, response.headers
                event: dict[str, str] = {}
                for line in response.iter_lines():
                    if line:
                        name, _, value = line.partition(":")
                        event[name or "comment"] = value.strip()
                    elif event:
                        self.events.append(event)
                        event = {}
        except httpx.TransportError:
            pass
        finally:
            self.ended.set()

    def envelopes(self) -> list[dict[str, Any]]:
        return [json.loads(event["data"]) for event in self.events if "id" in event]

    def names(self) -> list[str]:
        return [event.get("event", "") for event in self.events]


def path_of(run: AgentRun) -> str:
    return f"/api/runs/{run.id}/stream"


def test_a_stream_has_the_whole_log_and_ends_after_run_closed(
    server: Server, people: Cast, stream: EventStream
) -> None:
    run = factories.run(people.bob)
    writer = Writer(run, stream)
    writer.state("running")
    reader = Reader(server, people.bob, path_of(run))
    eventually(lambda: len(reader.envelopes()) == 2, what="the replay")
    writer.say("live \u2028 text")
    eventually(lambda: len(reader.envelopes()) == 3, what="the live event")
    writer.end()

    assert reader.ended.wait(10)
    envelopes = reader.envelopes()
    assert [envelope["seq"] for envelope in envelopes] == list(range(1, len(envelopes) + 1))
    assert envelopes[-1]["type"] == "run.closed"
    assert envelopes[2]["data"]["text"] == "live \u2028 text"
    assert set(envelopes[0]) == {"id", "runId", "sessionId", "seq", "ts", "type", "attempt", "traceId", "data"}
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["cache-control"] == "no-store"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.events[0] == {"retry": "1000"}


def test_a_stream_goes_on_behind_its_cursor_and_the_header_wins(
    server: Server, people: Cast, stream: EventStream
) -> None:
    run = factories.run(people.bob)
    writer = Writer(run, stream)
    for text in "abcdef":
        writer.say(text)
    writer.end()

    by_query = Reader(server, people.bob, f"{path_of(run)}?cursor=4")
    by_header = Reader(server, people.bob, f"{path_of(run)}?cursor=1", {"Last-Event-ID": "6"})

    assert by_query.ended.wait(10)
    assert by_header.ended.wait(10)
    assert by_query.envelopes()[0]["seq"] == 5
    assert by_header.envelopes()[0]["seq"] == 7


def test_a_cursor_beyond_the_log_is_reset_and_a_quiet_stream_beats(
    server: Server, people: Cast, stream: EventStream
) -> None:
    run = factories.run(people.bob)

    reader = Reader(server, people.bob, f"{path_of(run)}?cursor=99")

    eventually(lambda: "heartbeat" in reader.names(), what="a heartbeat")
    assert reader.names()[1] == "reset"
    assert [envelope["seq"] for envelope in reader.envelopes()] == [1]
    beat = next(event for event in reader.events if event.get("event") == "heartbeat")
    assert "id" not in beat


def test_a_malformed_cursor_is_a_problem_not_a_stream(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    for cursor in ("x", "-1", "1.5", "9" * 30, "１"):
        answer = httpx.get(
            f"{server.url}{path_of(run)}", params={"cursor": cursor}, headers=people.bob.headers, trust_env=False
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor_malformed")


def test_a_start_that_accepts_a_stream_gets_it_and_a_replay_gets_it_again(server: Server, people: Cast) -> None:
    headers = {**people.bob.headers, "Accept": "text/event-stream", "Idempotency-Key": "k"}
    replayed = []
    for _ in range(2):
        with httpx.stream(
            "POST", f"{server.url}/api/runs/start", headers=headers, json={"prompt": "x"}, timeout=10, trust_env=False
        ) as answer:
            lines = answer.iter_lines()
            data = next(line for line in lines if line.startswith("data:"))
            assert json.loads(data[5:])["seq"] == 1
            replayed.append(answer.headers.get("Idempotent-Replay"))

    assert replayed == [None, "true"]
    assert AgentRun.select().where(AgentRun.tenant_id == people.bob.user.tenant_id).count() == 1


def test_the_ui_message_stream_ends_with_done(server: Server, people: Cast, stream: EventStream) -> None:
    run = factories.run(people.bob)
    writer = Writer(run, stream)
    writer.add(EventType.RUN_STARTED, {"provider": "scripted", "model": None, "attempt": 1, "capabilities": {}})
    writer.say("hello")
    writer.end()

    reader = Reader(server, people.bob, f"{path_of(run)}?format=ui-message")

    assert reader.ended.wait(10)
    assert reader.headers["x-vercel-ai-ui-message-stream"] == "v1"
    data = [event["data"] for event in reader.events if "data" in event]
    assert data[-1] == "[DONE]"
    kinds = [json.loads(chunk)["type"] for chunk in data[:-1]]
    assert kinds[0] == "start"
    assert [kind for kind in kinds if kind.startswith("text")] == ["text-start", "text-delta", "text-end"]
    assert kinds[-1] == "finish"


def test_a_revoked_token_ends_its_streams_within_ten_seconds(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    reader = Reader(server, people.bob, path_of(run))
    eventually(reader.envelopes, what="the first event")

    identity.revoke_token(identity.ApiToken.get_by_id(people.bob.token_id))

    assert reader.ended.wait(10)


def test_open_streams_are_limited_by_principal(settings: Settings, people: Cast) -> None:
    run = factories.run(people.bob)
    with serving(settings, PADDOCK_STREAMS_PER_PRINCIPAL="2") as server:
        readers = [Reader(server, people.bob, path_of(run)) for _ in range(2)]
        eventually(lambda: all(reader.envelopes() for reader in readers), what="two streams")

        refused = httpx.get(f"{server.url}{path_of(run)}", headers=people.bob.headers, trust_env=False)
        other = Reader(server, people.otto, path_of(run))

        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert int(refused.headers["Retry-After"]) > 0
        eventually(other.envelopes, what="somebody else's stream")


def test_a_stream_that_its_reader_left_is_not_counted_any_more(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    with httpx.stream("GET", f"{server.url}{path_of(run)}", headers=people.bob.headers, trust_env=False) as response:
        next(response.iter_lines())
        serving_it = eventually(lambda: counted_by(server), what="the stream to be counted")

    eventually(
        lambda: (found := open_streams(server))[0] == serving_it[0] and found[1] < serving_it[1],
        what="the stream to be noticed gone",
    )


def counted_by(server: Server) -> tuple[str, int] | None:
    """Return the process of web that counts an open stream, where it was that one that answered, and how many it has."""
    found = open_streams(server)
    return found if found[1] else None


def open_streams(server: Server) -> tuple[str, int]:
    """Return how many streams are open in the process of web that answers, which is now one and now another."""
    text = httpx.get(f"{server.url}/metrics", trust_env=False).text
    (line,) = [line for line in text.splitlines() if line.startswith("paddock_open_streams")]
    name, _, count = line.rpartition(" ")
    return name, int(count)


def test_a_server_that_is_told_to_stop_ends_its_streams_at_once(settings: Settings, people: Cast) -> None:
    run = factories.run(people.bob)
    with serving(settings) as server:
        reader = Reader(server, people.bob, path_of(run))
        eventually(reader.envelopes, what="the first event")

        os.kill(server.pid, signal.SIGTERM)

        assert reader.ended.wait(5)


# --- WebSocket -------------------------------------------------------------------------------------------------------------------


def connect(server: Server, who: Person, run: AgentRun, query: str = "", **headers: str) -> simple_websocket.Client:
    url = f"{server.url.replace('http', 'ws')}/ws/runs/{run.id}{query}"
    return simple_websocket.Client(url, headers={**who.headers, **headers})


def receive_all(connection: simple_websocket.Client) -> tuple[list[dict[str, Any]], int]:
    found = []
    while True:
        try:
            text = connection.receive(timeout=10)
        except simple_websocket.ConnectionClosed as closed:
            return found, closed.reason
        assert text is not None
        found.append(json.loads(text))


def test_a_websocket_carries_the_same_envelopes_and_closes_normally(
    server: Server, people: Cast, stream: EventStream
) -> None:
    run = factories.run(people.bob)
    writer = Writer(run, stream)
    connection = connect(server, people.bob, run)
    first = json.loads(connection.receive(timeout=10) or "")
    big = "x" * 3_000_000
    writer.say(big)
    writer.end()
    rest, reason = receive_all(connection)
    reader = Reader(server, people.bob, path_of(run))

    assert reader.ended.wait(10)
    assert [first, *(item for item in rest if "seq" in item)] == reader.envelopes()
    assert reason == 1000


def test_a_websocket_begins_behind_its_cursor_resets_and_beats(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    connection = connect(server, people.bob, run, "?cursor=99")
    items: list[dict[str, Any]] = []
    while not (any("seq" in item for item in items) and items[-1]["type"] == "heartbeat"):
        items.append(json.loads(connection.receive(timeout=10) or ""))
    connection.close()

    told = [item for item in items if item["type"] != "heartbeat"]  # which comes when it is due, also in between
    assert told[0]["type"] == "reset"
    assert [item["seq"] for item in told[1:]] == [1]


SHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_a_websocket_is_refused_before_it_is_accepted(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    own_origin = {"Origin": server.url, "Cookie": f"paddock_session={cast.web_session(people.bob.user)}"}
    cases: list[tuple[dict[str, str], str, int, str]] = [
        (people.charlie.headers, "", 404, "not_found"),
        ({}, "", 401, "unauthenticated"),
        ({**own_origin, "Origin": "http://evil.example"}, "", 403, "origin_refused"),
        (people.bob.headers, "?cursor=x", 422, "cursor_malformed"),
        (people.bob.headers, "?token=x", 422, "validation_failed"),
        ({**people.bob.headers, "Sec-WebSocket-Version": "7"}, "", 400, "websocket_expected"),
    ]
    for headers, query, status_code, code in cases:
        answer = httpx.get(f"{server.url}/ws/runs/{run.id}{query}", headers={**SHAKE, **headers}, trust_env=False)
        assert (answer.status_code, answer.json()["code"]) == (status_code, code)
    plain = httpx.get(f"{server.url}/ws/runs/{run.id}", headers=people.bob.headers, trust_env=False)
    assert (plain.status_code, plain.json()["code"]) == (400, "websocket_expected")


def test_a_revoked_token_ends_its_websocket(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    connection = connect(server, people.bob, run)
    connection.receive(timeout=10)

    identity.revoke_token(identity.ApiToken.get_by_id(people.bob.token_id))
    _, reason = receive_all(connection)

    assert reason == 1001


def test_a_message_that_is_too_big_closes_the_websocket(server: Server, people: Cast) -> None:
    run = factories.run(people.bob)
    connection = connect(server, people.bob, run)
    connection.send("x" * 1_100_000)
    _, reason = receive_all(connection)

    assert reason == 1009
