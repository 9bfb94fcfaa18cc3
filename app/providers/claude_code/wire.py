"""The lines that Claude Code is sent. Source: the stream-json protocol as the official SDK speaks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain import jsontext
from app.providers.asking import NO_REPLY_MESSAGE, Reply, Request


def request(request_id: str, subtype: str, **fields: Any) -> bytes:
    """Return a control request of ours."""
    return _line(type="control_request", request_id=request_id, request={"subtype": subtype, **fields})


def user_message(text: str, uuid: str) -> bytes:
    """Return a message of the user. Its `uuid` is kept in the transcript, where the probe looks for it."""
    message = {"role": "user", "content": text}
    return _line(type="user", message=message, parent_tool_use_id=None, session_id="default", uuid=uuid)


def reply(asked: Request, given: Reply) -> bytes:
    """Return the answer to a permission request or a question."""
    if given.allowed:
        updated = dict(asked.input)
        if given.answers is not None:
            updated["answers"] = _answers(asked, given.answers)
        return _response(asked.id, {"behavior": "allow", "updatedInput": updated})
    return _response(asked.id, {"behavior": "deny", "message": given.message or NO_REPLY_MESSAGE})


def refusal(request_id: str, message: str) -> bytes:
    """Return the answer to a control request that is not served here."""
    return _line(type="control_response", response={"subtype": "error", "request_id": request_id, "error": message})


def _response(request_id: str, response: Mapping[str, Any]) -> bytes:
    return _line(
        type="control_response", response={"subtype": "success", "request_id": request_id, "response": response}
    )


def _answers(asked: Request, answers: Mapping[str, list[str]]) -> dict[str, str]:
    """Claude Code wants answers by the question's text, several joined by a comma."""
    texts = {str(question["id"]): str(question["question"]) for question in asked.questions}
    return {texts.get(key, key): ", ".join(values) for key, values in answers.items()}


def _line(**fields: Any) -> bytes:
    return jsontext.encode(fields)
