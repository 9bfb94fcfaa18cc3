"""Counting what passes, prices, and what the proxy reads of requests: without sockets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.domain.metering import Meter, WithoutUsage
from app.domain.model_api import error_body, find_route, read_request, with_usage_asked
from app.domain.prices import ESTIMATE, FILE, Price, Prices
from tests.support.model_server import anthropic, chat, responses
from tests.support.model_server.scenario import Text

SAID: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "input": []}
PROTOCOLS: dict[str, Any] = {"messages": anthropic, "responses": responses, "chat": chat}
EXPECTED = {
    "messages": {"input": 100, "output": 10, "cacheRead": 7, "cacheWrite5m": 3, "cacheWrite1h": 2},
    "responses": {"input": 100, "output": 10, "cacheRead": 7, "cacheWrite5m": 0, "reasoning": 3},
    "chat": {"input": 100, "output": 10, "cacheRead": 7, "cacheWrite5m": 0, "reasoning": 3},
}


def lines(protocol: str) -> Iterator[bytes]:
    for part in PROTOCOLS[protocol].stream(SAID, [Text(("one ", "zwei: ü"))]):
        if not isinstance(part, tuple):
            named = f"event: {part['type']}\n" if "type" in part else ""
            yield f"{named}data: {json.dumps(part, ensure_ascii=False)}\n\n".encode()
    if protocol == "chat":
        yield b"data: [DONE]\n\n"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_stream_is_counted_the_same_however_it_is_cut_into_pieces(protocol: Any) -> None:
    data = b"".join(lines(protocol))
    for size in (1, 2, 3, 7, 64, len(data)):
        meter = Meter(protocol, stream=True)
        for start in range(0, len(data), size):
            meter.feed(data[start : start + size])
        meter.end()
        assert (meter.told, meter.is_final, meter.is_whole) == (EXPECTED[protocol], True, True), size
    packed = Meter(protocol, stream=True, encoding="gzip")
    packed.feed(gzip.compress(data))
    assert packed.told == EXPECTED[protocol]


def test_of_a_stream_that_breaks_off_the_beginning_counts() -> None:
    meter = Meter("messages", stream=True)
    for line in list(lines("messages"))[:4]:
        meter.feed(line)
    assert meter.told == {**EXPECTED["messages"], "output": 1}
    assert not meter.is_final
    assert not meter.is_whole


def test_a_later_event_replaces_only_what_it_tells() -> None:
    meter = Meter("messages", stream=True)
    meter.feed(
        b'data: {"type":"message_start","message":{"usage":{"input_tokens":9,"cache_creation_input_tokens":4}}}\n'
    )
    meter.feed(b'data: {"type":"message_delta","usage":{"output_tokens":3}}\n')
    assert meter.told == {"input": 9, "cacheWrite1h": 0, "cacheWrite5m": 4, "output": 3}


@pytest.mark.parametrize(
    "garbage", [b"data: {\n", b'data: "usage"\n', b'data: {"usage":null}\n', b'data: ["usage"]\n', b"\xff\n"]
)
def test_garbage_counts_nothing_and_harms_nothing(garbage: bytes) -> None:
    for protocol in PROTOCOLS:
        meter = Meter(protocol, stream=True)  # type: ignore[arg-type]
        assert not meter.feed(garbage)
        assert meter.told is None


def test_the_chunk_that_nobody_asked_for_is_taken_out_and_nothing_else() -> None:
    data, parts = b"".join(lines("chat")), list(lines("chat"))
    expected = b"".join(parts[:-2] + parts[-1:])
    for size in (1, 5, len(data)):
        without = WithoutUsage()
        passed = b"".join(without.feed(data[start : start + size]) for start in range(0, len(data), size))
        assert passed + without.end() == expected


def test_a_chat_stream_is_made_to_tell_its_usage_once() -> None:
    assert with_usage_asked(b'{"stream":true,"stream_options":{"include_usage":true}}') is None
    assert with_usage_asked(b'{"stream":false}') is None
    asked = with_usage_asked(b'{"stream":true,"stream_options":{"x":1}}')
    assert json.loads(asked or b"") == {"stream": True, "stream_options": {"x": 1, "include_usage": True}}


def test_what_a_call_can_come_to_is_bounded_only_where_it_is_known() -> None:
    body = json.dumps({"model": "m", "max_tokens": 10}).encode()
    asked = read_request("messages", body)
    assert (asked.most_input, asked.most_output) == (len(body), 10)
    assert read_request("responses", b'{"model":"m"}').most_output is None
    assert read_request("responses", b'{"model":"m","previous_response_id":"r"}').most_input is None
    assert read_request("chat", b'{"model":"m","max_tokens":10,"n":3}').most_output == 30
    for wrong in (b"", b"[]", b"{}", b'{"model":7}', b'{"model":""}'):
        with pytest.raises(ValueError):
            read_request("messages", wrong)


def test_prices_are_by_class_and_a_model_that_is_not_known_has_none() -> None:
    prices = Prices.load()
    assert prices.date
    assert prices.find("mystery-1") is None
    for name in (
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5[1m]",
        "anthropic/claude-sonnet-4-5",
        "claude-sonnet-4-0",
    ):
        price = prices.find(name)
        assert price is not None, name
        assert price.cost({"input": 1000, "output": 10, "cacheRead": 100, "cacheWrite1h": 1}) == 0.003186
    dated = prices.find("gpt-5-2025-08-07")
    assert dated is not None
    assert dated.cost({"input": 10, "output": 10, "reasoning": 10}) == 0.0001125  # reasoning is part of the output


def test_every_price_says_where_it_is_from() -> None:
    told = orjson.loads(FILE.read_bytes())
    assert {entry["source"] for entry in told["models"].values()} == set(told["sources"])
    own = Prices.load()
    assert [name for name in own if own.find(name).source not in told["sources"]] == []  # type: ignore[union-attr]


def test_an_operator_s_price_takes_the_place_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"models": {"gpt-5.1-codex": {"input": 7, "output": 9}}}')
    price = Prices.load(file).find("gpt-5.1-codex")
    assert price is not None
    assert (price.cost({"input": 1_000_000}), price.source) == (7, "")
    assert Prices.load().find("gpt-5.1-codex").source == ESTIMATE  # type: ignore[union-attr]


def test_long_contexts_have_their_own_price_and_the_most_is_never_too_little() -> None:
    price = Price.of({"input": 1, "output": 2, "cacheRead": 0.1, "long": {"above": 100, "input": 3, "output": 4}})
    assert price.cost({"input": 50, "cacheRead": 50, "output": 1}) == pytest.approx((50 + 5 + 2) / 1e6)
    assert price.cost({"input": 50, "cacheRead": 51, "output": 1}) == pytest.approx((150 + 5.1 + 4) / 1e6)
    assert price.most(101, 1) >= price.cost({"input": 101, "output": 1})


def test_routes_are_few_and_errors_have_the_protocols_form() -> None:
    assert find_route("POST", "/v1/messages", anthropic=True) is not None
    assert find_route("GET", "/v1/models/claude-x", anthropic=False) is not None
    for method, path in (
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/"),
        ("GET", "/v1/models/a/b"),
        ("GET", "/v1/models/.."),
    ):
        assert find_route(method, path, anthropic=True) is None, path
    assert json.loads(error_body("anthropic", 402, "budget_exceeded", "m"))["error"]["type"] == "billing_error"
    assert json.loads(error_body("openai", 402, "budget_exceeded", "m"))["error"]["type"] == "insufficient_quota"
