"""Why a turn of Claude Code failed, read from its result, its API status and its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.failure import Failure, FailureCode
from app.providers.classify import ACCOUNT_REMEDY, Marks, code_of_reply, code_of_text

RESUME_FAILED = "resume_failed"
"""The stop reason when the conversation to resume is not there: the driver starts a fresh one."""

_NO_CONVERSATION = "No conversation found"
_AUTH = ("Not logged in", "Invalid API key", "authentication_error", "Please run /login", "OAuth token", "/login")
_MODEL = ("issue with the selected model", "model_not_found", "not_found_error")
_TRANSPORT = (
    "Connection refused",
    "Connection error",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENOTFOUND",
    "ETIMEDOUT",
    "Unable to connect",
    "Overloaded",
    "overloaded",
    "timed out",
    "rejected (429)",
    "API Error: 5",
    "fetch failed",
    "empty or malformed response",  # of something that is no API of a model
)
_MARKS: Marks = (
    (FailureCode.AUTH_MISSING, _AUTH),
    (FailureCode.MODEL_INVALID, _MODEL),
    (FailureCode.TRANSPORT_ERROR, _TRANSPORT),
)
_REMEDIES = {
    FailureCode.AUTH_MISSING: "Set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) to a valid key, run `make up` again and "
    "send the message again.",
    FailureCode.MODEL_INVALID: "Choose a model that the endpoint serves (ANTHROPIC_MODEL or the run's model), and check "
    "that ANTHROPIC_BASE_URL is an Anthropic-compatible address.",
    FailureCode.BUDGET_EXCEEDED: ACCOUNT_REMEDY,
}


def failure_of_result(result: Mapping[str, Any]) -> tuple[str, Failure]:
    """Return the stop reason and the failure of a `result` line that is an error."""
    errors = [str(error) for error in result.get("errors") or []]
    text = str(result.get("result") or "") or "\n".join(errors)
    reason = str(result.get("terminal_reason") or result.get("subtype") or "error")
    if _NO_CONVERSATION in text:
        return RESUME_FAILED, _resume_failed(text)
    status = result.get("api_error_status")
    code = code_of_reply(status if isinstance(status, int) else 0, text, _MARKS)
    message = text or f"Claude Code ended the turn: {reason}."
    return reason, Failure(code or FailureCode.AGENT_ERROR, message, _REMEDIES.get(code, "") if code else "")


def failure_of_words(words: str) -> tuple[str, Failure] | None:
    """Return what the last lines of stderr say, None where they say nothing that is known."""
    if _NO_CONVERSATION in words:
        return RESUME_FAILED, _resume_failed(words)
    code = code_of_text(words, _MARKS)
    return ("error", Failure(code, words, _REMEDIES.get(code, ""))) if code else None


def _resume_failed(text: str) -> Failure:
    return Failure(
        FailureCode.INCOMPLETE,
        f"The conversation to go on with is not there any more: {text}",
        "The next attempt starts a fresh conversation.",
        retryable=True,
    )
