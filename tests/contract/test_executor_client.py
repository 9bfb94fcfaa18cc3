"""The executor's client: what it tries again and what it does not, its headers, its errors."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from app.adapters import httpx_transport
from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.adapters.httpx_executor import HttpxExecutor
from app.errors import LeaseLost
from app.log import logger
from app.ports import ExecutorError
from executor.protocol import Frame


@dataclass
class Script:
    """Answers to give in turn, and what was asked. An answer of None breaks the connection."""

    answers: list[tuple[int, bytes] | None] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Iterator[HttpxExecutor]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            script.asked.append(
                (self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
            )
            given = script.answers.pop(0)
            if given is None:
                self.close_connection = True
                return
            self.send_response(given[0])
            self.send_header("content-length", str(len(given[1])))
            self.end_headers()
            self.wfile.write(given[1])

        do_GET = do_POST = answer  # noqa: N815 - names that http.server wants

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    labels = {"session-id": "ses_1", "executor-id": "ses_1.4"}
    address = ExecutorAddress("secret", 4, base_url=f"http://127.0.0.1:{server.server_port}", labels=labels)
    made = HttpxExecutor(address, ExecutorClientSettings(max_retries=3, retry_delay_ms=20, timeout_ms=5_000))
    yield made
    made.close()
    server.shutdown()
    server.server_close()
    thread.join()


def refusal(code: str) -> bytes:
    return json.dumps({"error": code, "message": "told"}).encode()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(httpx_transport.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_passing_failure_is_tried_again_with_growing_delay(
    client: HttpxExecutor, script: Script, pauses: list[float], status: int
) -> None:
    script.answers = [(status, b"oops"), None, (status, refusal("internal")), (200, b'{"status": "ok"}')]
    assert client.health() == {"status": "ok"}
    assert pauses == [0.02, 0.04, 0.06]


def test_trying_ends(client: HttpxExecutor, script: Script, pauses: list[float]) -> None:
    script.answers = [(503, refusal("input_full"))] * 4
    with pytest.raises(ExecutorError) as caught:
        client.write("run_1.1", "in", "k", b"x", epoch=1)
    error = caught.value
    assert (error.kind, error.status, error.code, error.attempt, error.max_attempts) == (
        "http",
        503,
        "input_full",
        4,
        4,
    )
    assert error.path == "/agents/run_1.1/records"
    assert script.answers == []


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 429])
def test_what_the_caller_did_wrong_is_not_tried_again(
    client: HttpxExecutor, script: Script, pauses: list[float], status: int
) -> None:
    script.answers = [(status, refusal("code"))]
    with pytest.raises(ExecutorError) as caught:
        client.validate(["/workspace/x"])
    assert (caught.value.kind, caught.value.status, caught.value.code, caught.value.message) == (
        "http",
        status,
        "code",
        "told",
    )
    assert pauses == []


def test_a_lost_lease_has_its_own_error(client: HttpxExecutor, script: Script) -> None:
    script.answers = [(409, refusal("fenced"))]
    with pytest.raises(LeaseLost):
        client.acknowledge("run_1.1", 5, epoch=1)


def test_a_command_is_never_sent_twice(client: HttpxExecutor, script: Script, pauses: list[float]) -> None:
    script.answers = [None, (200, b"{}")]
    with pytest.raises(ExecutorError) as caught:
        client.execute("rm x", cwd="/workspace", timeout_ms=1_000)
    assert caught.value.kind == "network"
    assert len(script.asked) == 1


def test_every_call_says_who_asks_and_why(client: HttpxExecutor, script: Script) -> None:
    script.answers = [(200, b'{"n": 7, "duplicate": false}'), (200, b'{"processes": 0}')]
    with logger.contextualize(trace_id="trc_1", run_id="run_9"):
        client.signal("run_1.2", "TERM", key="k", epoch=3)
    client.halt()
    method, path, headers = script.asked[0]
    assert (method, path) == ("POST", "/agents/run_1.2/signal")
    wanted = {
        "authorization": "Bearer secret",
        "x-trace-id": "trc_1",
        "x-session-id": "ses_1",
        "x-run-id": "run_1",
        "x-executor-id": "ses_1.4",
        "x-operation": "agent.signal",
        "x-paddock-epoch": "3",
        "x-paddock-generation": "4",
    }
    assert {name: headers.get(name) for name in wanted} == wanted
    assert headers["x-trace-ts"].endswith("Z")
    assert script.asked[1][2]["x-trace-id"].startswith("trc_")


def test_following_goes_on_after_a_break(client: HttpxExecutor, script: Script, pauses: list[float]) -> None:
    def record(n: int, kind: str, body: bytes = b"") -> bytes:
        return Frame({"n": n, "t": 1.5, "kind": kind}, body).encode()

    torn = (
        record(1, "spawn") + record(2, "out", b"a") + b'{"kind":"beat","size":0}\n\n' + record(3, "out", b"b\nc")[:-2]
    )
    rest = record(3, "out", b"b\nc") + record(4, "exit", b'{"exit":"code:0"}')
    script.answers = [(200, torn), None, (200, rest)]
    found = list(client.follow("run_1.1", 0))
    assert [(found.n, found.data) for found in found] == [(1, b""), (2, b"a"), (3, b"b\nc"), (4, b'{"exit":"code:0"}')]
    assert [path.partition("after=")[2][0] for _, path, _ in script.asked] == ["0", "2", "2"]


def test_following_gives_up_when_nobody_answers(client: HttpxExecutor, script: Script, pauses: list[float]) -> None:
    script.answers = [None] * 4
    with pytest.raises(ExecutorError) as caught:
        list(client.follow("run_1.1", 0))
    assert caught.value.kind == "network"
    assert pauses == [0.02, 0.04, 0.06]
