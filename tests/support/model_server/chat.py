"""OpenAI Chat Completions, as OpenCode speaks it: its requests read as a history, an answer written as its stream.

The scenario names its tools as Claude Code does; `_call` gives each the name and form that OpenCode knows. Usage is per call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.support.model_server.responses import error_body, patch_of
from tests.support.model_server.scenario import REMINDER, Text, ToolCall, Turn

__all__ = ["USAGE", "error_body", "history_of", "stream", "whole"]

USAGE = {
    "prompt_tokens": 107,
    "prompt_tokens_details": {"cached_tokens": 7},
    "completion_tokens": 10,
    "completion_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 117,
}
"""`prompt_tokens` counts the cached ones too, `completion_tokens` those of reasoning."""

Part = tuple[Text, int] | dict[str, Any]


def history_of(body: dict[str, Any]) -> list[Turn]:
    """Return the messages of a request."""
    return [turn for turn in map(_turn, body.get("messages") or []) if turn is not None]


def _turn(message: dict[str, Any]) -> Turn | None:
    match message["role"]:
        case "user":
            return Turn("user", _texts(message["content"]))
        case "assistant":
            calls = tuple(call["id"] for call in message.get("tool_calls") or ())
            return Turn("assistant", _texts(message.get("content")), calls)
        case "tool":
            text = REMINDER.sub("", "\n".join(_texts(message["content"]))).strip()
            interrupted = text.startswith(("[Tool execution was interrupted", "Tool execution aborted"))
            return Turn("user", results={message["tool_call_id"]: "[Tool call interrupted" if interrupted else text})
        case _:
            return None


def _texts(content: Any) -> tuple[str, ...]:
    parts = [{"text": content}] if isinstance(content, str) else content or []
    return tuple(part["text"].replace("[[todo]]", "[[todowrite]]") for part in parts if part.get("text"))


def stream(body: dict[str, Any], blocks: list[Text | ToolCall]) -> Iterator[Part]:
    """Yield the chunks of the answer's stream; `(text, n)` stands before the n-th piece of a text."""
    calls = [block for block in blocks if isinstance(block, ToolCall)]
    yield _chunk(body, {"role": "assistant", "content": ""})
    for block in blocks:
        if isinstance(block, Text):
            yield from _text(body, block)
    for index, call in enumerate(calls):
        yield _chunk(body, {"tool_calls": [{"index": index, **_call(body, call)}]})
    yield _chunk(body, {}, "tool_calls" if calls else "stop")
    yield {**_chunk(body, {}), "choices": [], "usage": USAGE}


def _text(body: dict[str, Any], text: Text) -> Iterator[Part]:
    name = "reasoning_content" if text.kind == "thinking" else "content"
    for number, piece in enumerate(text.pieces):
        yield (text, number)
        yield _chunk(body, {name: piece})


def whole(body: dict[str, Any], blocks: list[Text | ToolCall]) -> dict[str, Any]:
    """Return the answer to a request that does not want a stream."""
    calls = [_call(body, block) for block in blocks if isinstance(block, ToolCall)]
    text = "".join("".join(block.pieces) for block in blocks if isinstance(block, Text) and block.kind == "text")
    message = {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    return {**_chunk(body, {}), "object": "chat.completion", "choices": [choice], "usage": USAGE}


def _chunk(body: dict[str, Any], delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(body.get("messages"), sort_keys=True).encode()).hexdigest()[:24]
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": body.get("model"),
        "choices": [choice],
    }


def _call(body: dict[str, Any], call: ToolCall) -> dict[str, Any]:
    """Return a call of one of the tools that the request offers: a GPT gets `apply_patch` instead of `write` and `edit`."""
    name, given = _named(call)
    offered = {tool["function"]["name"] for tool in body.get("tools") or []}
    if name in ("write", "edit") and name not in offered:
        name, given = "apply_patch", {"patchText": patch_of(call)}
    return {"id": call.id, "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}


def _named(call: ToolCall) -> tuple[str, dict[str, Any]]:
    given = call.input
    match call.name:
        case "Write":
            named = "write", {"filePath": given["file_path"], "content": given["content"]}
        case "Read":
            named = "read", {"filePath": given["file_path"]}
        case "Edit":
            changed = {"oldString": given["old_string"], "newString": given["new_string"]}
            named = "edit", {"filePath": given["file_path"], **changed}
        case "Bash":
            named = "bash", {"command": given["command"], "description": given.get("description", "")}
        case "TodoWrite":
            todos = [
                {"content": each["content"], "status": each["status"], "priority": "high"} for each in given["todos"]
            ]
            named = "todowrite", {"todos": todos}
        case "AskUserQuestion":
            asked = [{key: each[key] for key in ("question", "header", "options")} for each in given["questions"]]
            named = "question", {"questions": asked}
        case "Agent":
            named = (
                "task",
                {
                    "description": given["description"],
                    "prompt": given["prompt"],
                    "subagent_type": "general",
                },
            )
        case name:
            named = name, given
    return named
