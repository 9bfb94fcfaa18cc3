"""Why a turn failed, read from an agent's errors. The protocol has few codes of its own, so its words are read too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.domain.failure import Failure, FailureCode
from app.providers.classify import ACCOUNT_REMEDY, Marks, code_of_reply

RESUME_FAILED = "resume_failed"
"""The stop reason when the conversation to resume is not there: the driver starts a fresh one."""

AUTH_REQUIRED = -32000
_BY_KIND = {
    "authentication_failed": FailureCode.AUTH_MISSING,
    "oauth_org_not_allowed": FailureCode.AUTH_MISSING,
    "model_not_found": FailureCode.MODEL_INVALID,
    "rate_limit": FailureCode.TRANSPORT_ERROR,
    "overloaded": FailureCode.TRANSPORT_ERROR,
    "billing_error": FailureCode.BUDGET_EXCEEDED,
    "account_on_hold": FailureCode.BUDGET_EXCEEDED,
}
"""Of `data.errorKind`, as claude-agent-acp gives it where it knows; `server_error` and `unknown` say too little."""

_STATUS = re.compile(r"\b(?:API Error|status|status code|HTTP)\W{1,3}(\d{3})\b", re.IGNORECASE)
_AUTH = ("invalid api key", "invalid_api_key", "unauthorized", "authentication", "not logged in", "/login")
_MODEL = ("issue with the selected model", "model_not_found", "model not found", "not_found_error", "does not exist")
_TRANSPORT = (
    "connection refused",
    "connection error",
    "connectionrefused",
    "econnrefused",
    "econnreset",
    "enotfound",
    "etimedout",
    "unable to connect",
    "cannot connect",
    "overloaded",
    "timed out",
    "fetch failed",
    "stream disconnected",
    "empty or malformed response",
)
_MARKS: Marks = (
    (FailureCode.MODEL_INVALID, _MODEL),
    (FailureCode.TRANSPORT_ERROR, _TRANSPORT),
    (FailureCode.AUTH_MISSING, _AUTH),
)
_REASONS = {
    "max_tokens": "The model's answer was cut off at its limit of tokens.",
    "max_turn_requests": "The agent reached its limit of model calls in one turn.",
    "refusal": "The agent refused to go on.",
    "cancelled": "The agent ended its turn by itself.",
}


def failure_of_error(error: Mapping[str, Any], said: str = "") -> Failure:
    """Return the failure that an error of the agent is. `said` is the last text of the turn, where some tell the reason."""
    data = error.get("data")
    details = data.get("details") if isinstance(data, dict) else data
    message = "\n".join(str(part) for part in (error.get("message"), details) if part) or "The agent failed."
    kind = data.get("errorKind") if isinstance(data, dict) else None
    if error.get("code") == AUTH_REQUIRED:
        return _failure(FailureCode.AUTH_MISSING, f"{message}: {said}" if said else message)
    code = _BY_KIND.get(str(kind)) or _code_of_text(message) or _code_of_text(said)
    return _failure(code or FailureCode.AGENT_ERROR, message)


def failure_of_refusal(method: str, error: Mapping[str, Any]) -> tuple[str, Failure]:
    """Return the stop reason and the failure where a request before the prompt was answered with an error."""
    failure = failure_of_error(error)
    if method == "session/load" and failure.code is not FailureCode.AUTH_MISSING:
        return RESUME_FAILED, resume_failed(failure.message)
    if method.startswith("session/set_"):
        return "error", Failure(FailureCode.SETUP_FAILED, f"The agent refused {method}: {failure.message}")
    return "error", Failure(failure.code, f"The agent refused {method}: {failure.message}", failure.remedy)


def resume_failed(why: str) -> Failure:
    return Failure(
        FailureCode.INCOMPLETE,
        f"The conversation to go on with cannot be loaded: {why}",
        "The next attempt starts a fresh conversation.",
        retryable=True,
    )


def failure_of_reason(reason: str) -> Failure:
    """Return the failure that a stop reason other than `end_turn` is."""
    return Failure(FailureCode.AGENT_ERROR, _REASONS.get(reason, f"The agent ended its turn: {reason}."))


def failure_of_words(words: str) -> tuple[str, Failure] | None:
    """Return what the last lines of stderr say, None where they say nothing that is known."""
    code = _code_of_text(words)
    return ("error", _failure(code, words)) if code else None


def _failure(code: FailureCode, message: str) -> Failure:
    remedies = {
        FailureCode.AUTH_MISSING: "Give the agent a valid key (see PADDOCK_ACP_COMMAND in docs/operations.md), run `make up` "
        "again and send the message again.",
        FailureCode.MODEL_INVALID: "Choose a model that the agent's endpoint serves, or leave the model out.",
        FailureCode.BUDGET_EXCEEDED: ACCOUNT_REMEDY,
    }
    return Failure(code, message, remedies.get(code, ""))


def _code_of_text(text: str) -> FailureCode | None:
    found = _STATUS.search(text)
    return code_of_reply(int(found[1]) if found else 0, text.lower(), _MARKS)
