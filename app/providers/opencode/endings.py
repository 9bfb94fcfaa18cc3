"""Why a turn of OpenCode failed, read from its `session.error` and from what its server answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.failure import Failure, FailureCode
from app.providers.classify import ACCOUNT_REMEDY, Marks, code_of_reply, code_of_text

RESUME_FAILED = "resume_failed"
"""The stop reason when the conversation to resume is not there: the driver starts a fresh one."""

ABORTED = "MessageAbortedError"
_AUTH = ("ProviderAuthError", "invalid_api_key", "Unauthorized", "API key")
_MODEL = ("ProviderModelNotFoundError", "model_not_found", "does not exist")
_TRANSPORT = (
    "Unable to connect",
    "Cannot connect",
    "ECONNREFUSED",
    "ECONNRESET",
    "ConnectionRefused",
    "fetch failed",
    "socket connection was closed",
    "timed out",
    "Overloaded",
    "overloaded",
)
_MARKS: Marks = (
    (FailureCode.AUTH_MISSING, _AUTH),
    (FailureCode.MODEL_INVALID, _MODEL),
    (FailureCode.TRANSPORT_ERROR, _TRANSPORT),
)
_REMEDIES = {
    FailureCode.AUTH_MISSING: "Set OPENAI_API_KEY to a valid key, run `make up` again and send the message again.",
    FailureCode.MODEL_INVALID: "Choose a model that the endpoint serves (OPENAI_MODEL or the run's model), and check that "
    "OPENAI_BASE_URL is an address of the Chat Completions API.",
    FailureCode.BUDGET_EXCEEDED: ACCOUNT_REMEDY,
}


def failure_of_error(error: Mapping[str, Any]) -> Failure:
    """Return the failure that a session's error is: `{name, data: {message, statusCode?}}`."""
    data = error.get("data") or {}
    name, message = str(error.get("name")), str(data.get("message") or error.get("name"))
    code = code_of_reply(int(data.get("statusCode") or 0), f"{name} {message}", _MARKS)
    return _failure(code or FailureCode.AGENT_ERROR, message)


def failure_of_retry(message: str) -> Failure:
    """Return the failure of a call that was tried again too often."""
    return _failure(code_of_text(message, _MARKS) or FailureCode.TRANSPORT_ERROR, message)


def failure_of_cuts(count: int) -> Failure:
    """Return the failure where so many answers in a row broke off."""
    return _failure(
        FailureCode.TRANSPORT_ERROR,
        f"{count} answers of the model in a row broke off, or were none in the form of its API.",
    )


def failure_of_settings(paths: Sequence[str]) -> Failure:
    """Return the failure where the workspace holds what would configure OpenCode, plugins included, before any policy."""
    return Failure(
        FailureCode.SETUP_FAILED,
        f"The workspace holds settings of OpenCode ({', '.join(paths)}), which it would run without asking.",
        "Remove them from the workspace, or choose another agent for this repository.",
    )


def failure_of_response(what: str, status: int, body: Any) -> tuple[str, Failure]:
    """Return the stop reason and the failure where the server did not do what the turn needs."""
    message = f"OpenCode's server did not {what} ({status or 'no answer'}): {body}"
    if what == "find the conversation":
        remedy = "The next attempt starts a fresh conversation."
        return RESUME_FAILED, Failure(FailureCode.INCOMPLETE, message, remedy, retryable=True)
    return "error", _failure(code_of_text(message, _MARKS) or FailureCode.AGENT_ERROR, message)


def failure_of_words(words: str) -> tuple[str, Failure] | None:
    """Return what the last lines of stderr say, None where they say nothing that is known."""
    code = code_of_text(words, _MARKS)
    return ("error", _failure(code, words)) if code else None


def _failure(code: FailureCode, message: str) -> Failure:
    return Failure(code, message, _REMEDIES.get(code, ""))
