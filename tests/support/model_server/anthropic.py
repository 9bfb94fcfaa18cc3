"""Anthropic Messages: its requests read as a history, an answer written as its stream. Numbers of usage are per call, so that
a test can count: see USAGE."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.support.model_server.scenario import REMINDER, Text, ToolCall, Turn

USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 7,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 10,
}

ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def history_of(body: dict[str, Any]) -> list[Turn]:
    """Return the messages of a request."""
    return [_turn(message) for message in body.get("messages", [])]


def _turn(message: dict[str, Any]) -> Turn:
    content = message["content"]
    if isinstance(content, str):
        return Turn(message["role"], (content,))
    texts = tuple(block["text"] for block in content if block["type"] == "text")
    tools = tuple(block["id"] for block in content if block["type"] == "tool_use")
    results = {block["tool_use_id"]: _flat(block.get("content")) for block in content if block["type"] == "tool_result"}
    return Turn(message["role"], texts, tools, results)


def _flat(content: Any) -> str:
    if isinstance(content, list):
        content = "\n".join(str(block.get("text", "")) for block in content)
    return REMINDER.sub("", str(content or "")).strip()


def error_body(status: int, model: str) -> dict[str, Any]:
    message = (
        f"model: {model}" if status == 404 else {401: "invalid x-api-key", 529: "Overloaded"}.get(status, "Scripted")
    )
    return {
        "type": "error",
        "error": {"type": ERRORS.get(status, "api_error"), "message": message},
        "request_id": "req_scripted",
    }


def message_id(body: dict[str, Any]) -> str:
    """Return an id that is the same for the same history."""
    return "msg_" + hashlib.sha256(json.dumps(body.get("messages"), sort_keys=True).encode()).hexdigest()[:24]


Part = tuple[Text, int] | dict[str, Any]
"""A line of the stream, or a piece of a text that may have to wait."""


def stream(body: dict[str, Any], blocks: list[Text | ToolCall]) -> Iterator[Part]:
    """Yield the events of the answer's stream; `(text, n)` stands before the n-th piece of a text."""
    empty = {**USAGE, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": message_id(body),
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": empty,
    }
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    for index, block in enumerate(blocks):
        yield from _tool(index, block) if isinstance(block, ToolCall) else _text(index, block)
    stop = "tool_use" if any(isinstance(block, ToolCall) for block in blocks) else "end_turn"
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": stop, "stop_sequence": None},
        "usage": USAGE,
    }
    yield {"type": "message_stop"}


def _text(index: int, text: Text) -> Iterator[Part]:
    thinking = text.kind == "thinking"
    empty = {"type": "thinking", "thinking": "", "signature": ""} if thinking else {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    for number, piece in enumerate(text.pieces):
        yield (text, number)
        delta = {"type": "thinking_delta", "thinking": piece} if thinking else {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    if thinking:
        signature = {"type": "signature_delta", "signature": "c2NyaXB0ZWQ="}
        yield {"type": "content_block_delta", "index": index, "delta": signature}
    yield {"type": "content_block_stop", "index": index}


def _tool(index: int, call: ToolCall) -> Iterator[Part]:
    empty = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
    yield {"type": "content_block_start", "index": index, "content_block": empty}
    text = json.dumps(call.input)
    for start in range(0, len(text), 40):
        delta = {"type": "input_json_delta", "partial_json": text[start : start + 40]}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def whole(body: dict[str, Any], blocks: list[Text | ToolCall]) -> dict[str, Any]:
    """Return the answer to a request that does not want a stream."""
    content: list[dict[str, Any]] = []
    for block in blocks:
        if isinstance(block, ToolCall):
            content.append({"type": "tool_use", "id": block.id, "name": block.name, "input": block.input})
        elif block.kind == "text":
            content.append({"type": "text", "text": "".join(block.pieces)})
    stop = "tool_use" if content and content[-1]["type"] == "tool_use" else "end_turn"
    return {
        "id": message_id(body),
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
    }
