"""Lines to an agent of the Agent Client Protocol: JSON-RPC 2.0, one object a line (protocol version 1, schema 1.19)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.domain import jsontext

PROTOCOL_VERSION = 1
METHOD_NOT_FOUND = -32601
CANCELLED: dict[str, Any] = {"outcome": {"outcome": "cancelled"}}
INTRODUCTION: dict[str, Any] = {
    "protocolVersion": PROTOCOL_VERSION,
    "clientCapabilities": {
        "fs": {"readTextFile": False, "writeTextFile": False},
        "terminal": False,
        "elicitation": {"form": {}},
    },
    "clientInfo": {"name": "paddock", "title": "Paddock", "version": "1"},
}
"""Of `initialize`. The agent works in the sandbox itself: it has no need of our files and terminals."""


def request(id_: str, method: str, **params: Any) -> bytes:
    return _line(id=id_, method=method, params=params)


def notification(method: str, **params: Any) -> bytes:
    return _line(method=method, params=params)


def result(id_: Any, value: Any) -> bytes:
    return _line(id=id_, result=value)


def refusal(id_: Any, message: str) -> bytes:
    return _line(id=id_, error={"code": METHOD_NOT_FOUND, "message": message})


def text_prompt(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def permission(options: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Return the answer that chooses the first option of this kind; cancelled where the agent offers none."""
    for option in options:
        if option.get("kind") == kind:
            return {"outcome": {"outcome": "selected", "optionId": option["optionId"]}}
    return CANCELLED


def _line(**members: Any) -> bytes:
    return jsontext.encode({"jsonrpc": "2.0", **members})
