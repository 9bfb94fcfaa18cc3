"""The errors of the product, one family. `web/errors.py` turns them into problem+json; why a *run* failed is data, not one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class AppError(Exception):
    """Something the caller can be told.

    `code` is a word of the published list (`app.domain.problems`), `remedy` a sentence a person can act on,
    `errors` field-level details `{field, message}`.
    """

    status = 500
    title = "Internal error"
    retryable = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        remedy: str | None = None,
        errors: Sequence[Mapping[str, object]] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.errors = list(errors or [])


class Invalid(AppError):
    """The request cannot be understood or breaks a rule of its own form."""

    status = 422
    title = "Invalid request"


class Unauthenticated(AppError):
    """Nobody is logged in, or the credential is not valid."""

    status = 401
    title = "Authentication required"


class Forbidden(AppError):
    """The principal may see the object but not do this."""

    status = 403
    title = "Not allowed"


class NotFound(AppError):
    """There is no such object, or the principal may not know of it: the two answers are the same."""

    status = 404
    title = "Not found"

    def __init__(self, what: str = "object") -> None:
        super().__init__("not_found", f"There is no such {what}.", remedy="Check the id; ids are case-sensitive.")


class Conflict(AppError):
    """The request is well-formed, but the state of the object does not admit it now."""

    status = 409
    title = "Conflict"


class Gone(AppError):
    """It was there, and was let go of for good."""

    status = 410
    title = "Gone"


class LimitExceeded(AppError):
    """Too much or too often. `retry_after_seconds` goes out as `Retry-After`."""

    status = 429
    title = "Limit exceeded"
    retryable = True

    def __init__(self, code: str, message: str, *, retry_after_seconds: int = 1, remedy: str | None = None) -> None:
        super().__init__(code, message, remedy=remedy)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(AppError):
    """A part that Paddock needs does not answer now; the same request may succeed later."""

    status = 503
    title = "Temporarily unavailable"
    retryable = True
    retry_after_seconds = 1


class LeaseLost(Exception):
    """This holder's lease is over or was taken: stop writing, touch nothing. Never shown to a user."""
