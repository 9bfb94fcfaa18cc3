"""The executor's client: what it tries again and what it does not, its headers, its errors."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from app.adapters import httpx_transport
from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.adapters.httpx_executor import HttpxExecutor
from app.domain.manifest import Entry, Manifest
from app.domain.turn import AgentCommand
from app.errors import LeaseLost
from app.log import logger
from app.ports import AgentStart, ExecutorError, ExecutorRequestError
from executor.protocol import PROTOCOL, TRACE_HEADERS, Frame

STATE = b'{"agentId": "run_1.1", "running": true, "last": 1, "acknowledged": 0, "exit": null}'
SHA = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
WITH_FILE = Manifest({"workspace": (Entry("a", "file", 0o644, size=1, sha256=SHA),)}, 0.0, False)


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

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names that http.server wants

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
    script.answers = [(status, b"oops"), None, (status, refusal("internal")), (200, b'{"missing": []}')]
    assert client.validate([]) == []
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


EMPTY = Manifest({"workspace": ()}, 0.0, False)
CALLS: dict[str, tuple[Any, bytes]] = {
    "health": (lambda e: e.health(), b'{"protocol": 2}'),
    "answers": (lambda e: e.answers(), b"{}"),
    "fence": (lambda e: e.fence("run_1", 1), b"{}"),
    "start_agent": (lambda e: e.start_agent(AgentStart("run_1.1", "run_1", 1, "t", AgentCommand(["x"]), {})), STATE),
    "find_agent": (lambda e: e.find_agent("run_1.1"), STATE),
    "follow": (lambda e: list(e.follow("run_1.1", 0)), Frame({"n": 1, "t": 1.5, "kind": "exit"}, b"{}").encode()),
    "write": (lambda e: e.write("run_1.1", "in", "k", b"x", epoch=1), b'{"n": 1, "duplicate": false}'),
    "acknowledge": (lambda e: e.acknowledge("run_1.1", 1, epoch=1), b'{"n": 1}'),
    "signal": (lambda e: e.signal("run_1.1", "INT", key="k", epoch=1), b'{"n": 1, "duplicate": false}'),
    "shed": (lambda e: e.shed("run_1.1", ["x"], key="k", epoch=1), b'{"n": 1, "duplicate": false}'),
    "link_agent_data": (lambda e: e.link_agent_data([]), b'{"probes": []}'),
    "validate": (lambda e: e.validate([]), b'{"missing": []}'),
    "scan": (
        lambda e: e.scan(["workspace"], reason="message.stop"),
        b'{"trees": {"workspace": []}, "scannedAt": 1.0, "fuzzy": false, "error": null}',
    ),
    "content": (lambda e: list(e.content(WITH_FILE, [SHA])), Frame({"status": "changed", "sha256": SHA}).encode()),
    "stage": (lambda e: e.stage([(SHA, io.BytesIO(b"x"), 1)]), b'{"staged": 1}'),
    "restore": (lambda e: e.restore(EMPTY, clean=True), b'{"missing": []}'),
    "freeze": (lambda e: e.freeze(True), b'{"processes": 0}'),
    "halt": (lambda e: e.halt(), b'{"processes": 0}'),
    "seed": (lambda e: e.seed(url="https://example.org/x"), b'{"head": "h", "branch": "b"}'),
    "tree": (lambda e: e.tree("workspace", "/workspace"), b'{"entries": []}'),
    "write_file": (lambda e: e.write_file("a", b"x"), b'{"size": 1}'),
    "make_folder": (lambda e: e.make_folder("a"), b"{}"),
    "rename": (lambda e: e.rename("a", "b"), b"{}"),
    "delete": (lambda e: e.delete("a"), b"{}"),
    "diff": (lambda e: e.diff(), b"{}"),
    "execute": (
        lambda e: e.execute("x", cwd="/workspace", timeout_ms=1),
        b'{"stdout": "", "stderr": "", "exitCode": 0, "timedOut": false}',
    ),
}
"""Every call of the client with an answer that it can read."""
OPERATIONS = {
    "restore": "workspace.restore",
    "link_agent_data": "workspace.link",
    "validate": "workspace.validate",
    "scan": "workspace.sync.message.stop",
}
NOT_REPEATED = {"answers", "make_folder", "rename", "delete", "execute"}
"""Those that a repetition could do twice (or, `answers`, that only looks once)."""


def test_the_table_has_every_call_of_the_client() -> None:
    public = {name for name in dir(HttpxExecutor) if not name.startswith("_")}
    assert public - {"close", "read_file"} == set(CALLS)  # read_file: its answer is in headers; it goes the way of tree


@pytest.mark.parametrize("name", sorted(CALLS))
def test_each_call_carries_every_trace_header(client: HttpxExecutor, script: Script, name: str) -> None:
    call, answer = CALLS[name]
    script.answers = [(200, answer)]
    with logger.contextualize(trace_id="4b" * 16, run_id="run_1"):
        call(client)
    headers = script.asked[0][2]
    assert [header for header in TRACE_HEADERS if not headers.get(header)] == []
    assert (headers["x-trace-id"], headers["x-session-id"], headers["x-run-id"]) == ("4b" * 16, "ses_1", "run_1")
    assert headers["x-executor-id"] == "ses_1.4"
    assert headers["x-operation"] == OPERATIONS.get(name, headers["x-operation"])
    assert headers["traceparent"].split("-")[1] == "4b" * 16
    assert headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize("name", sorted(CALLS))
def test_one_passing_failure_is_made_good_on_every_path_that_may_be_repeated(
    client: HttpxExecutor, script: Script, pauses: list[float], name: str
) -> None:
    call, answer = CALLS[name]
    script.answers = [(503, b"oops"), (200, answer)]
    if name in NOT_REPEATED:
        if name == "answers":
            assert not call(client)
        else:
            with pytest.raises(ExecutorRequestError):
                call(client)
        assert len(script.asked) == 1
        return
    call(client)
    assert len(script.asked) == 2
    assert pauses == [0.02]


@pytest.mark.parametrize("status", [418, 500])
def test_which_answers_are_tried_again_is_a_setting(
    client: HttpxExecutor, script: Script, pauses: list[float], status: int
) -> None:
    client._transport.settings = replace(client._transport.settings, retry_status_codes=frozenset({599}))
    script.answers = [(599, b"oops"), (status, b"oops")]
    with pytest.raises(ExecutorRequestError) as caught:
        client.validate([])
    told = {"kind": "http", "path": "/workspace/validate", "attempt": 2, "maxAttempts": 4, "status": status}
    assert told.items() <= caught.value.facts().items()


@pytest.mark.parametrize(
    ("version", "remedy"),
    [(0, "Start the executor again"), (None, "Start the executor again"), (3, "Update the workers")],
)
def test_an_executor_of_a_strange_protocol_is_refused_with_what_to_do(
    client: HttpxExecutor, script: Script, version: int | None, remedy: str
) -> None:
    script.answers = [(200, json.dumps({"protocol": version}).encode())]
    with pytest.raises(ExecutorRequestError, match=remedy) as caught:
        client.health()
    assert caught.value.code == "protocol_unsupported"


@pytest.mark.parametrize("version", [PROTOCOL - 1, PROTOCOL])
def test_this_protocol_and_the_one_before_are_spoken(client: HttpxExecutor, script: Script, version: int) -> None:
    script.answers = [(200, json.dumps({"protocol": version}).encode())]
    assert client.health() == {"protocol": version}


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
