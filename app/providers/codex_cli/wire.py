"""Lines to the app-server: JSON-RPC without the `jsonrpc` member, one object a line (openai-codex-cli-bin 0.163.0)."""

from __future__ import annotations

from typing import Any

import orjson

from app.providers.asking import Reply, Request

METHOD_NOT_FOUND = -32601


def request(id_: str, method: str, **params: Any) -> bytes:
    return orjson.dumps({"id": id_, "method": method, "params": params})


def notification(method: str) -> bytes:
    return orjson.dumps({"method": method})


def result(id_: Any, value: Any) -> bytes:
    return orjson.dumps({"id": id_, "result": value})


def refusal(id_: Any, message: str) -> bytes:
    return orjson.dumps({"id": id_, "error": {"code": METHOD_NOT_FOUND, "message": message}})


def text_input(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text, "text_elements": []}]


def reply(id_: Any, request_: Request, reply_: Reply) -> bytes:
    """Return the answer to an approval or a question; `id_` is the request's id as it came. A declined question has no answers."""
    if request_.kind == "question":
        answers = {name: {"answers": chosen} for name, chosen in (reply_.answers or {}).items()}
        return result(id_, {"answers": answers})
    return result(id_, {"decision": "accept" if reply_.allowed else "decline"})
