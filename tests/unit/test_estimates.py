"""What a call is taken to have used where nobody told."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from app.domain.estimates import PICTURE_TOKENS, Said, complete
from app.domain.metering import Meter

BODY = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
BODY_TOKENS = -(-len(BODY) // 3)

Event = dict[str, Any]


def spoken(*deltas: Event) -> list[Event]:
    return [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]


SIX_BYTES: dict[str, tuple[str, list[Event]]] = {
    "text of Chat": ("chat", spoken({"role": "assistant", "content": "ab"}, {"content": "cdef"})),
    "a thought of Chat": ("chat", spoken({"reasoning_content": "abcdef"})),
    "a call of Chat": ("chat", spoken({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "ab", "arguments": "cdef"}}]})),
    "text of Responses": ("responses", [{"type": "response.output_text.delta", "output_index": 1, "delta": "zwölf"}]),
    "an item in pieces, then whole": (
        "responses",
        [
            {"type": "response.output_text.delta", "output_index": 0, "delta": "ab"},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "cdef"},
            {"type": "response.output_item.done", "output_index": 0, "item": {"id": "x", "type": "message", "content": "abcdef"}},
        ],
    ),
    "an item that comes whole only": (
        "responses",
        [{"type": "response.output_item.done", "output_index": 0, "item": {"name": "ab", "arguments": "cdef", "call_id": "c"}}],
    ),
    "two items": (
        "responses",
        [
            {"type": "response.output_text.delta", "output_index": 0, "delta": "abc"},
            {"type": "response.output_item.done", "output_index": 1, "item": {"encrypted_content": "def"}},
        ],
    ),
    "text of Messages": ("messages", [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abcdef"}}]),
}  # fmt: skip


def metered(protocol: str, events: list[Event], *, stream: bool = True) -> Meter:
    meter = Meter(protocol, stream=stream)  # type: ignore[arg-type]
    for event in events:
        data = json.dumps(event, ensure_ascii=False).encode()
        meter.feed(b"data: " + data + b"\n\n" if stream else data)
    if not stream:
        meter.end()
    return meter


@pytest.mark.parametrize("what", SIX_BYTES)
def test_of_an_answer_without_usage_the_request_and_the_text_that_passed_count_a_token_for_three_bytes(
    what: str,
) -> None:
    meter = metered(*SIX_BYTES[what])
    assert meter.told is None
    assert meter.used(BODY) == {"input": BODY_TOKENS, "output": 2, "estimated": BODY_TOKENS + 2}


def test_what_was_told_stays_and_only_the_output_that_was_not_is_added() -> None:
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 4}},
    }
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 30}}
    assert metered("messages", [start]).used(BODY) == {"input": 9, "cacheRead": 4, "output": 1, "estimated": 0}
    assert metered("messages", [start, text]).used(BODY) == {"input": 9, "cacheRead": 4, "output": 10, "estimated": 9}
    end = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 3}}
    assert metered("messages", [start, text, end]).used(BODY) == {"input": 9, "cacheRead": 4, "output": 3}


def test_usage_that_grows_with_a_chat_is_not_taken_for_its_end() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 0}
    growing = [{**spoken({"content": "x" * 30})[0], "usage": usage}]
    assert (metered("chat", growing).used(BODY) or {})["output"] == 10
    (ended,) = spoken({})
    ended["choices"][0]["finish_reason"] = "stop"
    last = {**ended, "usage": {**usage, "completion_tokens": 4}}
    assert (metered("chat", [*growing, last]).used(BODY) or {}).get("output") == 4
    assert "estimated" not in (metered("chat", [*growing, last]).used(BODY) or {})


def test_a_whole_answer_of_a_model_that_tells_no_usage_is_estimated() -> None:
    whole = {"id": "x", "choices": [{"message": {"role": "assistant", "content": "abcdef"}, "finish_reason": "stop"}]}
    meter = metered("chat", [whole], stream=False)
    assert (meter.is_whole, meter.told) == (True, None)
    assert meter.used(BODY) == {"input": BODY_TOKENS, "output": 2, "estimated": BODY_TOKENS + 2}


@pytest.mark.parametrize(
    ("protocol", "failure"),
    [
        ("messages", {"type": "error", "error": {"type": "overloaded_error"}}),
        ("responses", {"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}, "usage": None}}),
        ("chat", {"error": {"message": "overloaded"}}),
    ],
)  # fmt: skip
def test_a_failure_that_the_models_side_tells_costs_nothing_unless_it_had_begun_to_speak(
    protocol: str, failure: Event
) -> None:
    assert metered(protocol, [failure]).used(BODY) is None
    spoke = {"chat": spoken({"content": "abc"})[0], "responses": {"type": "response.output_text.delta", "delta": "abc"}}
    said = spoke.get(protocol, {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abc"}})
    assert (metered(protocol, [said, failure]).used(BODY) or {})["output"] == 1


def test_a_picture_counts_the_same_whatever_its_size() -> None:
    def asked(size: int) -> int:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}}
        body = orjson.dumps(
            {"model": "m", "messages": [{"role": "user", "content": [picture, {"type": "text", "text": "?"}]}]}
        )
        return complete(None, body, Said())["input"]

    assert asked(1_000_000) == asked(1000)
    assert PICTURE_TOKENS < asked(1000) < PICTURE_TOKENS + 100


def test_depth_is_no_harm() -> None:
    deep = b'{"model":"m","x":' + b"[" * 900 + b"]" * 900 + b"}"
    assert complete(None, deep, Said())["input"] == -(-len(deep) // 3)
