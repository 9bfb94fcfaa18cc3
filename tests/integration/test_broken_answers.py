"""Answers that break off before their usage was told, through the real proxy: estimated, marked, and no way around a budget."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import httpx
import pytest

from app.domain.run_state import RunStatus
from app.models import AgentRun
from app.services import budgets, metering
from tests.cast import Cast
from tests.support.model_proxy import Proxy, calls_of, going_run
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually

MODEL = "gpt-5"
BEFORE_GATE = "Before the gate. "
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
OPENAI = ("chat", "responses")
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def body_of(protocol: str, prompt: str) -> bytes:
    said: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    if protocol == "responses":
        said = [{"role": "user", "content": [{"type": "input_text", "text": prompt}]}]
    more = {"stream_options": {"include_usage": True}} if protocol == "chat" else {}
    return json.dumps(
        {"model": MODEL, "stream": True, "input" if protocol == "responses" else "messages": said, **more}
    ).encode()


def tokens(size: int) -> int:
    return -(-size // 3)


def ask_and_leave(proxy: Proxy, run: AgentRun, protocol: str, body: bytes) -> int:
    """Ask, and hang up as soon as the text before the gate is there; returns the status."""
    client = proxy.client(run) if protocol == "messages" else proxy.openai(run)
    with client, client.stream("POST", PATHS[protocol], content=body) as answer:
        if answer.status_code == 200:
            assert any(BEFORE_GATE.strip() in line for line in answer.iter_lines() if "delta" in line)
        return answer.status_code


def test_an_answer_that_the_models_side_breaks_off_counts_what_passed(proxy: Proxy, people: Cast) -> None:
    for protocol in OPENAI:
        run, body = going_run(people.bob), body_of(protocol, "[[cut]]")
        with proxy.openai(run) as client, contextlib.suppress(httpx.RemoteProtocolError):
            client.post(PATHS[protocol], content=body)
        (call,) = calls_of(run)
        assert (call.state, call.input, call.output) == ("cut", tokens(len(body)), tokens(len("This is "))), protocol
        assert call.estimated == call.input + call.output
        assert call.cost_usd == pytest.approx((call.input * 1.25 + call.output * 10) / 1e6)


@sqlite_only
def test_an_answer_that_the_agent_breaks_off_counts_what_passed_and_only_what_nobody_told_is_estimated(
    proxy: Proxy, people: Cast
) -> None:
    spoken = tokens(len(BEFORE_GATE))
    for protocol in PATHS:
        run, body = going_run(people.bob), body_of(protocol, "[[gate:shut]]")
        assert ask_and_leave(proxy, run, protocol, body) == 200
        (call,) = calls_of(run)
        assert (call.state, call.output) == ("cut", spoken), protocol
        of_input = (
            100 if protocol == "messages" else tokens(len(body))
        )  # that one tells it at the beginning, and a token of output
        assert call.input == of_input, protocol
        assert call.estimated == (spoken - 1 if protocol == "messages" else of_input + spoken), protocol


def test_a_budget_holds_against_an_agent_that_breaks_every_answer_off(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    for protocol in OPENAI:
        body, calls = body_of(protocol, "[[gate:shut]]"), len(model.calls)
        of_one = tokens(len(body)) + tokens(len(BEFORE_GATE))
        run = going_run(people.bob, options={"budget": {"maxTokens": 2 * of_one + 1}})
        statuses = [ask_and_leave(proxy, run, protocol, body) for _ in range(5)]
        assert statuses == [200, 200, 200, 402, 402], protocol
        assert len(model.calls) == calls + 3
        assert budgets.find_limit(run.id, 1) == "tokens"


@sqlite_only
def test_a_runs_account_says_how_much_of_it_is_estimated_and_no_agent_is_blamed_for_that(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run, body = going_run(people.bob), body_of("responses", "[[gate:shut]]")
    with proxy.openai(run) as client:
        assert client.post(PATHS["responses"], content=body_of("responses", "hello")).status_code == 200
    assert "estimated" not in metering.settled(run, {})
    assert ask_and_leave(proxy, run, "responses", body) == 200
    AgentRun.update(status=RunStatus.SUCCEEDED, finished_at=1.0).where(AgentRun.id == run.id).execute()
    first, second = calls_of(run, 2)
    estimated = tokens(len(body)) + tokens(len(BEFORE_GATE))
    assert (first.estimated, second.estimated) == (0, estimated)
    usage = metering.settled(run, {})
    assert usage["estimated"] == estimated
    assert usage["input"] + usage["output"] == estimated + first.input + first.output
    assert metering.mismatch(run, {"input": first.input, "output": first.output, "cacheRead": first.cache_read}) is None
    assert metering.mismatch(run, {"input": first.input, "output": 1, "cacheRead": first.cache_read}) is not None


@sqlite_only
def test_an_agent_that_leaves_before_the_answer_begins_has_asked_all_the_same(
    proxy: Proxy, model: ModelServer, people: Cast
) -> None:
    run, body = going_run(people.bob), body_of("chat", "x" * 300_000 + "[[hang]]")  # more than comes at once
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as agent:
        head = f"POST {PATHS['chat']} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {proxy.token(run)}\r\n"
        agent.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        eventually(lambda: model.calls, what="the call to reach the model")
    (call,) = calls_of(run)
    assert (call.state, call.http_status) == ("cut", None)
    assert (call.input, call.output, call.estimated) == (tokens(len(body)), 0, tokens(len(body)))
