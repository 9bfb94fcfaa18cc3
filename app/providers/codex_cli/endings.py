"""Why a turn of Codex failed, read from its `codexErrorInfo` and its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.domain.failure import Failure, FailureCode
from app.providers.classify import ACCOUNT_REMEDY, Marks, code_of_reply, code_of_text

RESUME_FAILED = "resume_failed"
"""The stop reason when the conversation to resume is not there: the driver starts a fresh one."""

_BY_INFO = {
    "unauthorized": FailureCode.AUTH_MISSING,
    "serverOverloaded": FailureCode.TRANSPORT_ERROR,
    "internalServerError": FailureCode.TRANSPORT_ERROR,
    "rateLimitExceeded": FailureCode.TRANSPORT_ERROR,
    "httpConnectionFailed": FailureCode.TRANSPORT_ERROR,
    "responseStreamConnectionFailed": FailureCode.TRANSPORT_ERROR,
    "responseStreamDisconnected": FailureCode.TRANSPORT_ERROR,
    "responseTooManyFailedAttempts": FailureCode.TRANSPORT_ERROR,
    "usageLimitExceeded": FailureCode.BUDGET_EXCEEDED,
    "sessionBudgetExceeded": FailureCode.BUDGET_EXCEEDED,
}
_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_AUTH = ("Missing environment variable", "invalid_api_key", "Unauthorized")
_MODEL = ("model_not_found", "does not exist", "model is not supported")
_TRANSPORT = ("stream disconnected", "Connection refused", "error sending request", "timed out", "stream closed")
_MARKS: Marks = (
    (FailureCode.AUTH_MISSING, _AUTH),
    (FailureCode.MODEL_INVALID, _MODEL),
    (FailureCode.TRANSPORT_ERROR, _TRANSPORT),
)
_REMEDIES = {
    FailureCode.AUTH_MISSING: "Set OPENAI_API_KEY to a valid key, run `make up` again and send the message again.",
    FailureCode.MODEL_INVALID: "Choose a model that the endpoint serves (OPENAI_MODEL or the run's model), and check that "
    "OPENAI_BASE_URL is an address of the Responses API.",
    FailureCode.BUDGET_EXCEEDED: ACCOUNT_REMEDY,
}


def failure_of_error(error: Mapping[str, Any]) -> Failure:
    """Return the failure that a turn's `error` is."""
    info = error.get("codexErrorInfo")
    name = next(iter(info), None) if isinstance(info, dict) else info
    status = (info[name] or {}).get("httpStatusCode") if isinstance(info, dict) and name else None
    text = "\n".join(str(part) for part in (error.get("message"), error.get("additionalDetails")) if part)
    found = _STATUS.search(text)
    code = code_of_reply(int(status or (found[1] if found else 0)), text, _MARKS) or _BY_INFO.get(str(name))
    return _failure(code or FailureCode.AGENT_ERROR, text or "Codex ended the turn with an error.")


def failure_of_words(words: str) -> tuple[str, Failure] | None:
    """Return what the last lines of stderr say, None where they say nothing that is known."""
    code = code_of_text(words, _MARKS)
    return ("error", _failure(code, words)) if code else None


def failure_of_refusal(method: str, error: Mapping[str, Any]) -> tuple[str, Failure]:
    """Return the stop reason and the failure where one of our own requests was answered with an error."""
    message = f"Codex refused {method}: {error.get('message')}"
    if method == "thread/resume":
        remedy = "The next attempt starts a fresh conversation."
        return RESUME_FAILED, Failure(FailureCode.INCOMPLETE, message, remedy, retryable=True)
    return "error", _failure(code_of_text(message, _MARKS) or FailureCode.AGENT_ERROR, message)


def _failure(code: FailureCode, message: str) -> Failure:
    return Failure(code, message, _REMEDIES.get(code, ""))
