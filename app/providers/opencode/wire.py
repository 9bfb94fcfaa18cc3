"""Lines to the bridge: HTTP requests to the server (OpenCode 1.18.33)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from app.providers.asking import Reply, Request

LANE = "paddock"
"""The name of the one model provider that is configured."""


def request(id_: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
    told = {"type": "request", "id": id_, "method": method, "path": path}
    return orjson.dumps(told if body is None else {**told, "body": body})


def prompt(text: str, model: str, mark: str | None) -> dict[str, Any]:
    """Return the body of a prompt; the server keeps `mark` with the message."""
    part: dict[str, Any] = {"type": "text", "text": text}
    if mark:
        part["metadata"] = {"paddock": mark}
    return {"parts": [part], "model": {"providerID": LANE, "modelID": model}}


def has_mark(messages: Any, mark: str) -> bool:
    """True where one of a session's messages carries the mark."""
    return any(mark_of(part) == mark for message in messages or [] for part in message.get("parts") or [])


def mark_of(part: Mapping[str, Any]) -> str:
    return str((part.get("metadata") or {}).get("paddock") or "")


def reply(key: str, request_: Request, reply_: Reply) -> bytes:
    """Return the answer to a permission or a question. A refusal without a message would end the turn."""
    if request_.kind == "question":
        if not reply_.answers:
            return request(key, "POST", f"/question/{request_.id}/reject", {})
        answers = [list(reply_.answers.get(str(asked["id"]), [])) for asked in request_.questions]
        return request(key, "POST", f"/question/{request_.id}/reply", {"answers": answers})
    body = {"reply": "once"} if reply_.allowed else {"reply": "reject", "message": reply_.message}
    return request(key, "POST", f"/permission/{request_.id}/reply", body)
