"""OpenAI Responses, as Codex speaks it: its requests read as a history, an answer written as its stream.

The scenario names its tools as Claude Code does; `_call` gives each the name and form that Codex knows. Usage is per call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.support.model_server.scenario import Text, ToolCall, Turn

USAGE = {
    "input_tokens": 107,
    "input_tokens_details": {"cached_tokens": 7},
    "output_tokens": 10,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 117,
}
"""`input_tokens` counts the cached ones too, `output_tokens` those of reasoning."""

_CONTEXT = (
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md",
    "<permissions",
    "<INSTRUCTIONS>",
    "<turn_aborted>",
)
"""How messages begin that Codex itself puts between the user's."""

Part = tuple[Text, int] | dict[str, Any]


def history_of(body: dict[str, Any]) -> list[Turn]:
    """Return the messages and tool calls of a request."""
    given = body.get("input") or []
    if isinstance(given, str):
        return [Turn("user", (given,))]
    return [turn for turn in map(_turn, given) if turn is not None]


def _turn(item: dict[str, Any]) -> Turn | None:
    kind = item.get("type", "message")
    if kind == "message" and item.get("role") in {"user", "assistant"}:
        texts = tuple(_plain(part["text"]) for part in item["content"] if part.get("text"))
        texts = tuple(text for text in texts if not text.startswith(_CONTEXT))
        return Turn(item["role"], texts) if texts else None
    if kind in {"function_call", "custom_tool_call"}:
        return Turn("assistant", tool_ids=(item["call_id"],))
    if kind in {"function_call_output", "custom_tool_call_output"}:
        return Turn("user", results={item["call_id"]: _result(item.get("output"))})
    return None


def _plain(text: str) -> str:
    """Codex has no task tools: the one list that it has stands for them."""
    return text.replace("[[todo]]", "[[todowrite]]")


def _result(output: Any) -> str:
    if isinstance(output, list):
        return "\n".join(str(part.get("text", "")) for part in output)
    if isinstance(output, dict):
        return str(output.get("content", output))
    text = str(output or "")
    if text == "aborted by user":
        return "[Tool call interrupted"
    return text.partition("Output:\n")[2].strip() or text


def error_body(status: int, model: str) -> dict[str, Any]:
    code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    message = f"The model {model!r} does not exist." if status == 404 else "Scripted"
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def stream(body: dict[str, Any], blocks: list[Text | ToolCall]) -> Iterator[Part]:
    """Yield the events of the answer's stream; `(text, n)` stands before the n-th piece of a text."""
    digest = hashlib.sha256(json.dumps(body.get("input"), sort_keys=True).encode()).hexdigest()[:24]
    response = {"id": f"resp_{digest}", "object": "response", "model": body.get("model"), "status": "in_progress"}
    yield {"type": "response.created", "response": response}
    output = []
    for index, block in enumerate(blocks):
        item_id = f"{digest}_{index}"
        item = yield from (_tool if isinstance(block, ToolCall) else _text)(item_id, index, block)  # type: ignore[operator]
        output.append(item)
    done = {**response, "status": "completed", "output": output, "usage": USAGE}
    yield {"type": "response.completed", "response": done}


def _text(item_id: str, index: int, text: Text) -> Iterator[Part]:
    if text.kind == "thinking":
        return (yield from _thinking(item_id, index, text))
    item: dict[str, Any] = {"type": "message", "id": f"msg_{item_id}", "role": "assistant", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
    for number, piece in enumerate(text.pieces):
        yield (text, number)
        where = {"item_id": item["id"], "output_index": index, "content_index": 0}
        yield {"type": "response.output_text.delta", **where, "delta": piece}
    whole = {"type": "output_text", "text": "".join(text.pieces), "annotations": []}
    item = {**item, "status": "completed", "content": [whole]}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
    return item


def _thinking(item_id: str, index: int, text: Text) -> Iterator[Part]:
    item: dict[str, Any] = {"type": "reasoning", "id": f"rs_{item_id}", "summary": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": item}
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    yield {"type": "response.reasoning_summary_part.added", **where, "part": {"type": "summary_text", "text": ""}}
    for number, piece in enumerate(text.pieces):
        yield (text, number)
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    item = {
        **item,
        "summary": [{"type": "summary_text", "text": "".join(text.pieces)}],
        "encrypted_content": "c2NyaXB0ZWQ=",
    }
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
    return item


def _tool(item_id: str, index: int, call: ToolCall) -> Iterator[Part]:
    item = {"id": f"fc_{item_id}", "call_id": call.id, "status": "completed", **_call(call)}
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "status": "in_progress"}}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
    return item


def _call(call: ToolCall) -> dict[str, Any]:
    given = call.input
    match call.name:
        case "Write" | "Edit":
            named = {"type": "custom_tool_call", "name": "apply_patch", "input": patch_of(call)}
        case "Bash":
            named = _function("exec_command", cmd=given["command"])
        case "Read":
            named = _function("exec_command", cmd=f"cat {given['file_path']}")
        case "TodoWrite":
            plan = [{"step": todo["content"], "status": todo["status"]} for todo in given["todos"]]
            named = _function("update_plan", explanation="the plan", plan=plan)
        case "AskUserQuestion":
            asked = [{"id": f"q{n}", **_question(each)} for n, each in enumerate(given["questions"])]
            named = _function("request_user_input", questions=asked)
        case name:
            named = _function(name, **given)
    return named


def _question(each: dict[str, Any]) -> dict[str, Any]:
    options = [{"label": option["label"], "description": option["description"]} for option in each["options"]]
    return {"header": each["header"], "question": each["question"], "options": options}


def patch_of(call: ToolCall) -> str:
    """Return a Write or an Edit as the patch that GPT models write."""
    given = call.input
    if call.name == "Write":
        added = "\n".join(f"+{line}" for line in given["content"].splitlines())
        change = f"*** Add File: {given['file_path']}\n{added}"
    else:
        change = f"*** Update File: {given['file_path']}\n@@\n-{given['old_string']}\n+{given['new_string']}"
    return f"*** Begin Patch\n{change}\n*** End Patch"


def _function(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments)}
