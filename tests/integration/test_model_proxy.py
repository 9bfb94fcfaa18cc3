"""The model proxy as a process of its own, in front of a scripted model server: tokens, pass-through, metering, budgets, draining."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx
import pytest
import redis

from app.adapters.redis_try_counter import RedisTryCounter
from app.config import Settings
from app.domain.run_state import RunStatus
from app.models import AgentRun, RunCommand, UsageLog
from app.services import budgets, metering
from tests.cast import Cast
from tests.support import processes
from tests.support.model_proxy import ANTHROPIC_KEY, OPENAI_KEY, Proxy, calls_of, going_run, proxying
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually

sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODEL = "claude-sonnet-4-5"
ONE_CALL = {"input": 100, "output": 10, "cacheRead": 7, "cacheWrite5m": 3, "cacheWrite1h": 2}
CUT_ESTIMATE = 2
"""Tokens of a [[cut]] answer that nobody told: it says "This is ", three tokens by estimate, and tells one."""
PRICE_OF_ONE = (100 * 3 + 10 * 15 + 7 * 0.3 + 3 * 3.75 + 2 * 6) / 1e6


def ask(prompt: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": prompt}], **more}


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


def counted(run: AgentRun) -> dict[str, Any]:
    found = metering.total(run.id) or {}
    return {name: found.get(name, 0) for name in ONE_CALL}


def test_an_agent_reaches_its_model_with_its_runs_token_and_the_model_sees_the_key(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run = going_run(people.bob)
    direct = httpx.post(f"{model.url}/v1/messages?beta=true", json=ask(stream=True), trust_env=False)
    with proxy.client(run) as client:
        answer = client.post("/v1/messages?beta=true", json=ask(stream=True), headers={"cookie": "a=b", "x-app": "cli"})
        assert client.post("/v1/messages/count_tokens", json=ask()).json() == {"input_tokens": 100}
        assert client.get("/v1/models").json() == {"data": []}
    assert answer.content == direct.content
    assert answer.headers["content-type"] == "text/event-stream"
    seen = model.calls[-1]
    assert seen.headers["x-api-key"] == ANTHROPIC_KEY
    assert seen.headers["x-app"] == "cli"
    assert not {"cookie", "authorization"} & set(seen.headers)
    assert seen.path == "/v1/messages?beta=true"
    assert all(proxy.token(run) not in str(logged.headers) for logged in model.requests)
    (call,) = calls_of(run)
    assert (call.state, call.http_status, call.model, call.protocol) == ("ended", 200, MODEL, "messages")
    assert counted(run) == ONE_CALL
    assert call.cost_usd == pytest.approx(PRICE_OF_ONE, abs=1e-9)


@sqlite_only
def test_a_token_works_for_its_run_and_attempt_as_long_as_that_goes_on_and_nowhere_else(
    proxy: Proxy, model: ModelServer, people: Cast, settings: Settings
) -> None:
    run, other = going_run(people.bob), going_run(people.bob)
    mine, theirs = proxy.token(run), proxy.token(other)
    swapped = f"{mine.rpartition('_')[0]}_{theirs.rpartition('_')[2]}"
    next_attempt = mine.replace(f"{run.id}_1_", f"{run.id}_2_")
    for token in (
        "",
        "pdkr_",
        "pdkr_x_y_z",
        ANTHROPIC_KEY,
        swapped,
        next_attempt,
        mine[:-1],
        mine + "0",
        people.bob.token,
    ):
        headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
        answer = httpx.post(f"{proxy.url}/v1/messages", json=ask(), headers=headers, trust_env=False)
        assert answer.status_code == 401, token
        assert answer.json()["error"]["type"] == "authentication_error"
    with proxy.client(run) as client:
        assert client.post("/v1/messages", json=ask()).status_code == 200
        for changed in ({"attempt": 2}, {"attempt": 1, "status": RunStatus.QUEUED}):
            AgentRun.update(changed).where(AgentRun.id == run.id).execute()
            assert client.post("/v1/messages", json=ask()).status_code == 401
    assert len(model.calls) == 1
    secret = settings.root / "model-token-secret"
    assert secret.stat().st_mode & 0o777 == 0o600


@sqlite_only
def test_many_calls_follow_one_another_on_one_connection(proxy: Proxy, people: Cast) -> None:
    run = going_run(people.bob)
    with proxy.client(run) as client:
        for _ in range(50):
            assert "message_stop" in client.post("/v1/messages", json=ask(stream=True)).text
    calls_of(run, 50)


@sqlite_only
def test_only_known_addresses_are_passed_on(proxy: Proxy, model: ModelServer, people: Cast) -> None:
    with proxy.client(going_run(people.bob)) as client:
        for method, path in (
            ("GET", "/v1/organizations"), ("POST", "/v1/files"), ("GET", "/v1/messages"), ("POST", "/v1/models"),
            ("GET", "/v1/models/../organizations"), ("POST", "/v1/messages/batches"), ("DELETE", "/v1/models/x"),
        ):  # fmt: skip
            assert client.request(method, path).status_code == 404, path
        assert client.post("/v1/messages", content=b"[]").status_code == 400
        assert client.post("/v1/messages", json=ask(), headers={"content-encoding": "gzip"}).status_code == 415
    assert model.requests == []


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_the_apis_of_openai_are_passed_on_and_counted(
    proxy: Proxy, model: ModelServer, people: Cast, path: str
) -> None:
    run = going_run(people.bob)
    said = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    body: dict[str, Any] = {"model": "gpt-5", "stream": True, "input": said}
    if path.endswith("completions"):
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": "gpt-5", "stream": True, "messages": messages, "stream_options": {"include_usage": True}}
    direct = httpx.post(model.url + path, json=body, trust_env=False)
    with proxy.openai(run) as client:
        streamed = client.post(path, json=body)
        again = client.post(
            path, json={**body, "stream": path == "/v1/responses"}
        )  # the server knows that one as a stream only
    assert streamed.content == direct.content
    assert again.status_code == 200
    assert {logged.key for logged in model.calls[1:]} == {OPENAI_KEY}
    first, second = calls_of(run, 2)
    for call in (first, second):
        assert (call.input, call.cache_read, call.output, call.reasoning) == (100, 7, 10, 3)
        assert call.cost_usd == pytest.approx((100 * 1.25 + 7 * 0.125 + 10 * 10) / 1e6)


@sqlite_only
def test_a_chat_stream_that_asks_for_no_usage_is_counted_all_the_same_and_shows_none(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run = going_run(people.bob)
    body = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with proxy.openai(run) as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert model.calls[-1].body["stream_options"] == {"include_usage": True}
    assert all(event["choices"] for event in events_of(answer.text))
    assert answer.text.endswith("data: [DONE]\n\n")
    assert calls_of(run)[0].output == 10


@sqlite_only
def test_errors_of_the_model_come_as_they_are_and_cost_nothing(proxy: Proxy, model: ModelServer, people: Cast) -> None:
    run, statuses = going_run(people.bob), [400, 401, 403, 404, 429, 500, 529]
    for status in statuses:
        body = ask(f"[[error:{status}]]", stream=True)
        direct = httpx.post(f"{model.url}/v1/messages", json=body, trust_env=False)
        with proxy.client(run) as client:
            answer = client.post("/v1/messages", json=body)
        assert answer.status_code == status
        assert answer.content == direct.content
    calls = calls_of(run, len(statuses))
    assert [call.http_status for call in calls] == statuses
    assert {(call.input, call.output, call.state) for call in calls} == {(0, 0, "ended")}


def test_what_was_counted_is_what_the_server_told_also_of_cut_streams_errors_and_parallel_calls(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run = going_run(people.bob)
    prompts = ["hello", "[[cut]]", "[[error:500]]", "[[slow:5:20]]", "hello again", "[[think:hm]]"]

    def call(prompt: str) -> None:
        with proxy.client(run) as client, contextlib.suppress(httpx.RemoteProtocolError):
            client.post("/v1/messages", json=ask(prompt, stream=True))

    threads = [threading.Thread(target=call, args=(prompt,)) for prompt in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = calls_of(run, len(prompts))
    told = model.told
    assert len(told) == len(prompts) - 1  # an error tells none
    assert sorted(row.state for row in rows) == ["cut"] + ["ended"] * 5
    assert counted(run) == {
        "input": sum(each["input_tokens"] for each in told),
        "output": sum(each["output_tokens"] for each in told) + CUT_ESTIMATE,
        "cacheRead": sum(each["cache_read_input_tokens"] for each in told),
        "cacheWrite5m": sum(each["cache_creation"]["ephemeral_5m_input_tokens"] for each in told),
        "cacheWrite1h": sum(each["cache_creation"]["ephemeral_1h_input_tokens"] for each in told),
    }
    assert {each["output_tokens"] for each in told} == {1, 10}  # the cut one had told of its first only
    assert {row.state: row.estimated for row in rows} == {"cut": CUT_ESTIMATE, "ended": 0}


@sqlite_only
def test_a_stream_is_passed_on_as_it_comes_and_ends_upstream_when_the_agent_goes_away(
    settings: Settings, people: Cast
) -> None:
    run = going_run(people.bob)
    with Upstream() as upstream, proxying(settings, upstream.url) as proxy:
        address = proxy.url.rpartition(":")[2]
        with socket.create_connection(("127.0.0.1", int(address))) as agent:
            body = json.dumps(ask(stream=True)).encode()
            head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {proxy.token(run)}\r\n"
            agent.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            agent.settimeout(20)
            received = b""
            while b"event: one" not in received:  # the first event, while the second is held back
                received += agent.recv(4096)
            assert b"event: two" not in received
        assert upstream.hung_up.wait(20), "the model's side was not told"
        (call,) = calls_of(run)
        assert (call.state, call.input) == ("cut", 5)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_model_that_cannot_be_reached_is_an_error_that_agents_try_again(settings: Settings, people: Cast) -> None:
    run = going_run(people.bob)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with proxying(settings, f"http://127.0.0.1:{nobody.getsockname()[1]}") as proxy, proxy.client(run) as client:
            answer = client.post("/v1/messages", json=ask())
    assert answer.status_code == 502
    assert answer.json()["error"]["type"] == "api_error"
    assert calls_of(run)[0].http_status is None


# --- budgets and rates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "limit", "passed"),
    [
        ({"maxCostUsd": 1.5 * PRICE_OF_ONE}, "cost", 2),
        ({"maxTokens": 123}, "tokens", 2),
        ({"maxTokens": 122}, "tokens", 1),
    ],
)
def test_a_run_over_its_budget_gets_no_further_call_and_is_stopped(
    proxy: Proxy, model: ModelServer, people: Cast, budget: dict[str, float], limit: str, passed: int
) -> None:
    run = going_run(people.bob, options={"budget": budget})
    with proxy.client(run) as client:
        answers = [client.post("/v1/messages", json=ask(stream=True)) for _ in range(passed + 2)]
    assert [answer.status_code for answer in answers] == [200] * passed + [402, 402]
    assert len(model.calls) == passed
    assert answers[-1].json()["error"] == {"type": "billing_error", "message": budgets.WORDS[limit]}
    (command,) = RunCommand.select().where(RunCommand.run_id == run.id)
    assert (command.kind, budgets.limit_of(command), command.applied_seq) == ("stop", limit, None)
    assert AgentRun.get_by_id(run.id).stop_requested_at is None  # no person wanted it: it fails, and says why


def test_calls_made_at_once_are_at_most_one_beyond_the_budget(proxy: Proxy, model: ModelServer, people: Cast) -> None:
    run = going_run(people.bob, options={"budget": {"maxTokens": 3 * 122}})
    statuses: list[int] = []

    def call() -> None:
        with proxy.client(run) as client:
            statuses.append(client.post("/v1/messages", json=ask("[[slow:3:10]]", stream=True)).status_code)

    threads = [threading.Thread(target=call) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(200) == len(model.calls)
    assert 3 <= len(model.calls) <= 4
    assert set(statuses) == {200, 402}


@sqlite_only
def test_a_model_without_a_price_has_no_cost_and_no_budget_of_cost(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    free, limited = going_run(people.bob), going_run(people.bob, options={"budget": {"maxCostUsd": 9}})
    with proxy.client(free) as client:
        assert client.post("/v1/messages", json=ask(model="mystery-1")).status_code == 200
    assert calls_of(free)[0].cost_usd is None
    assert "costUsd" not in (metering.total(free.id) or {})
    with proxy.client(limited) as client:
        assert client.post("/v1/messages", json=ask(model="mystery-1")).status_code == 402
    assert budgets.find_limit(limited.id, 1) == "price"
    counted_run = going_run(people.bob, options={"budget": {"maxTokens": 123}})
    with proxy.client(counted_run) as client:  # tokens limit it all the same
        answers = [client.post("/v1/messages", json=ask(model="mystery-1")).status_code for _ in range(3)]
    assert answers == [200, 200, 402]
    assert budgets.find_limit(counted_run.id, 1) == "tokens"


@sqlite_only
def test_rates_are_limited_by_tenant_and_model(settings: Settings, model: ModelServer, people: Cast) -> None:
    with (
        proxying(settings, model.url, PADDOCK_MODEL_REQUESTS_PER_MINUTE="2") as proxy,
        proxy.client(going_run(people.bob)) as bob,
        proxy.client(going_run(people.charlie)) as charlie,
    ):
        statuses = [bob.post("/v1/messages", json=ask()).status_code for _ in range(2)]
        answer = bob.post("/v1/messages", json=ask())
        assert statuses == [200, 200]
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit_error")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert bob.post("/v1/messages", json=ask(model="claude-haiku-4-5")).status_code == 200
        assert charlie.post("/v1/messages", json=ask()).status_code == 200


def test_who_waits_for_as_long_as_it_is_told_does_not_come_before_the_window_has_ended(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    counter = RedisTryCounter(client)
    assert counter.add("late", 60) == (1, 60)
    client.pexpire("paddock:tries:late", 10_400)
    _, left = counter.add("late", 60)
    assert left * 1000 >= client.pttl("paddock:tries:late")


@sqlite_only
def test_too_large_a_request_is_refused(settings: Settings, model: ModelServer, people: Cast) -> None:
    with (
        proxying(settings, model.url, PADDOCK_MODEL_MAX_BYTES="2000") as proxy,
        proxy.client(going_run(people.bob)) as bob,
    ):
        answer = bob.post("/v1/messages", json=ask("x" * 3000))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")
    assert model.requests == []


# --- ends ------------------------------------------------------------------------------------------------------------------


@sqlite_only
def test_a_stream_in_flight_ends_before_the_proxy_does(
    proxy: Proxy, model: ModelServer, people: Cast, settings: Settings
) -> None:
    run, received = going_run(people.bob), []
    begun = threading.Event()

    def follow() -> None:
        with (
            proxy.client(run) as client,
            client.stream("POST", "/v1/messages", json=ask("[[gate:g]]", stream=True)) as answer,
        ):
            for part in answer.iter_text():
                received.append(part)
                begun.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(20)
    os.kill(proxy.pid, signal.SIGTERM)
    eventually(lambda: _refuses(proxy), what="the proxy to take no more calls")
    assert processes.is_alive(proxy.pid)
    model.open("g")
    thread.join()
    assert "message_stop" in "".join(received)
    eventually(lambda: not processes.is_alive(proxy.pid), what="the proxy to end")
    assert calls_of(run)[0].state == "ended"


def test_a_call_whose_proxy_was_killed_is_closed_by_the_next_one(
    settings: Settings, model: ModelServer, people: Cast
) -> None:
    run = going_run(people.bob)
    body = ask("[[gate:g]]", stream=True)
    with (
        proxying(settings, model.url) as first,
        first.client(run) as client,
        client.stream("POST", "/v1/messages", json=body) as answer,
    ):
        next(answer.iter_raw())
        eventually(lambda: counted(run)["input"] == 100, what="the beginning to be counted")
        processes.kill_group(first.pid)
    with proxying(settings, model.url):
        (call,) = calls_of(run)
    assert call.state in ("lost", "cut")  # it may have seen its client go before it died
    assert call.input == 100
    assert (
        call.output in {"cut": (6,), "lost": (1, 6)}[call.state]
    )  # told is a token; the text before the gate may be counted by then


@sqlite_only
def test_what_comes_after_the_end_of_a_run_is_added_to_its_account(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run = going_run(people.bob)
    with (
        proxy.client(run) as client,
        client.stream("POST", "/v1/messages", json=ask("[[gate:g]]", stream=True)) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        AgentRun.update(status=RunStatus.CANCELED, finished_at=1.0).where(AgentRun.id == run.id).execute()
        model.open("g")
        assert sum("message_stop" in line for line in lines) == 2
    calls_of(run)
    eventually(lambda: UsageLog.get_or_none(UsageLog.run_id == run.id), what="the account")
    assert UsageLog.get_by_id(run.id).output == 10


def _refuses(proxy: Proxy) -> bool:
    try:
        return httpx.get(f"{proxy.url}/health", trust_env=False).status_code != 200
    except httpx.TransportError:
        return True


class Upstream:
    """A model's side that sends one event and then nothing; `hung_up` is set when it is left."""

    def __init__(self) -> None:
        hung_up = self.hung_up = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Keep the terminal quiet."""

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("connection", "close")
                self.end_headers()
                start = {"type": "message_start", "message": {"usage": {"input_tokens": 5}}}
                self.wfile.write(f"event: one\ndata: {json.dumps(start)}\n\n".encode())
                self.wfile.flush()
                self.connection.settimeout(30)
                if not self.connection.recv(1):
                    hung_up.set()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._stop: Callable[[], None] = self._server.shutdown
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._server.server_close()
