"""Reading why an agent failed from an HTTP status or from words. Which words is each adapter's own knowledge."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.failure import FailureCode

Marks = Sequence[tuple[FailureCode, Sequence[str]]]
"""In the order in which they are looked for."""


ACCOUNT_REMEDY = "The account of the key has nothing left, or has reached its limit: raise it, or use another key."
_SPENT = ("insufficient_quota", "exceeded your current quota", "credit balance is too low")
"""How OpenAI and Anthropic say it with the statuses 429 and 400, which mean other things as well."""


def code_of_reply(status: int, text: str, marks: Marks) -> FailureCode | None:
    """Return what a model server's answer means by its status (0: none is known) and its words; None where they say nothing that is
    known."""
    if any(word in text for word in _SPENT):
        return FailureCode.BUDGET_EXCEEDED
    return code_of_status(status) or code_of_text(text, marks)


def code_of_status(status: int) -> FailureCode | None:
    """Return what a model server's status means; None where it says nothing of the kind (a 400, say)."""
    if status in {401, 403}:
        return FailureCode.AUTH_MISSING
    if status == 402:
        return FailureCode.BUDGET_EXCEEDED
    if status == 404:
        return FailureCode.MODEL_INVALID
    return FailureCode.TRANSPORT_ERROR if status in {408, 429} or status >= 500 else None


def code_of_text(text: str, marks: Marks) -> FailureCode | None:
    """Return the code of the first mark that the text holds."""
    return next((code for code, words in marks if any(word in text for word in words)), None)
