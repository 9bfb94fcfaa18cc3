"""Every error of the web tier as RFC 9457 problem+json: one table from exceptions to answers. Codes are `app.domain.problems`.

What is not known to be the caller's or a part's fault is 500 with a request id and nothing else; the log has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import orjson
import peewee
from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing.exceptions import WebsocketMismatch

from app.domain.problems import PROBLEMS
from app.errors import AppError, Invalid, LimitExceeded, NotFound, Unavailable
from app.log import logger
from app.ports import ExecutorError
from app.services.watermarks import NO_ROOM, RETRY_AFTER_SECONDS

PROBLEM_JSON = "application/problem+json"


class BadRequest(AppError):
    """The request's form is wrong before its content is looked at."""

    status = 400
    title = "Bad request"


class TooLarge(AppError):
    status = 413
    title = "Too large"


class UnsupportedMediaType(AppError):
    status = 415
    title = "Unsupported media type"


class WrongHost(AppError):
    status = 421
    title = "Misdirected request"


@dataclass(frozen=True, slots=True)
class Answer:
    """A problem on its way out."""

    status: int
    code: str
    title: str
    detail: str
    retryable: bool = False
    remedy: str = ""
    errors: Sequence[Mapping[str, object]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


_BY_STATUS = {
    400: "request_malformed",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "unsupported_media_type",
}
"""What werkzeug itself refuses."""


def register(app: Flask) -> None:
    """Answer every exception with a problem."""
    app.register_error_handler(AppError, lambda error: respond(_of_app_error(error)))
    app.register_error_handler(HTTPException, lambda error: respond(_of_http(error)))
    app.register_error_handler(peewee.OperationalError, _database)
    app.register_error_handler(peewee.InterfaceError, _database)
    app.register_error_handler(ExecutorError, _executor)
    app.register_error_handler(OSError, _system)
    app.register_error_handler(Exception, _unknown)


def respond(answer: Answer) -> Response:
    """Return the problem as a response; a browser that asked for a page gets a page that says the same."""
    body: dict[str, Any] = {
        "type": f"/openapi#{answer.code}",
        "title": answer.title,
        "status": answer.status,
        "detail": answer.detail,
        "code": answer.code,
        "requestId": g.get("request_id", ""),
        "retryable": answer.retryable,
        "remedy": answer.remedy or _remedy(answer.code),
    }
    if answer.errors:
        body["errors"] = list(answer.errors)
    if _wants_page():
        from web.pages import problem_page

        response = problem_page(body)
    else:
        response = Response(orjson.dumps(body), status=answer.status, content_type=PROBLEM_JSON)
    response.headers.update(answer.headers)
    return response


def _remedy(code: str) -> str:
    """Return the list's remedy; a word that is not on it is a defect that a test finds, no reason to answer 500."""
    return PROBLEMS[code].remedy if code in PROBLEMS else "See /openapi for the list of codes."


def _wants_page() -> bool:
    if request.path.startswith(("/api/", "/ws")) or request.method not in ("GET", "HEAD", "POST"):
        return False
    return request.accept_mimetypes.best_match([PROBLEM_JSON, "text/html"], default=PROBLEM_JSON) == "text/html"


def _of_app_error(error: AppError) -> Answer:
    headers: dict[str, str] = {}
    if isinstance(error, LimitExceeded | Unavailable):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif error.retryable:
        headers["Retry-After"] = "1"
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(
        error.status,
        error.code,
        error.title,
        error.message,
        retryable=error.retryable,
        remedy=error.remedy or _remedy(error.code),
        errors=error.errors,
        headers=headers,
    )


def _of_http(error: HTTPException) -> Answer:
    if isinstance(error, WebsocketMismatch):
        return _listed(400, "websocket_expected")
    status = error.code or 500
    if status not in _BY_STATUS:
        return _listed(500, "internal") if status >= 500 else _listed(400, "request_malformed")
    headers = {"Allow": ", ".join(sorted(error.valid_methods or []))} if hasattr(error, "valid_methods") else {}
    return _listed(status, _BY_STATUS[status], headers)


def _listed(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, code, HTTPStatus(status).phrase, PROBLEMS[code].meaning, headers=headers or {})


def _database(error: Exception) -> Response:
    logger.bind(error=str(error)).error("database did not answer")
    answer = _listed(503, "database_unavailable", {"Retry-After": "1"})
    return respond(
        Answer(answer.status, answer.code, answer.title, answer.detail, retryable=True, headers=answer.headers)
    )


def _system(error: OSError) -> Response:
    """A disk without room is an outage like others; what else the system refuses is a defect."""
    if error.errno not in NO_ROOM:
        return _unknown(error)
    logger.bind(error=str(error)).error("disk full")
    answer = _listed(503, "disk_full", {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return respond(replace(answer, retryable=True))


def _executor(error: ExecutorError) -> Response:
    """What a sandbox refuses is the caller's to mend; a sandbox that does not answer is not."""
    if error.kind == "http" and error.status == 404:
        return respond(_of_app_error(NotFound("file")))
    if error.kind == "http" and error.status is not None and 400 <= error.status < 500 and error.code in PROBLEMS:
        return respond(_of_app_error(Invalid(error.code, error.message)))
    logger.bind(error=str(error)).warning("executor did not answer")
    answer = _listed(503, "sandbox_unavailable", {"Retry-After": "1"})
    return respond(
        Answer(answer.status, answer.code, answer.title, answer.detail, retryable=True, headers=answer.headers)
    )


def _unknown(error: Exception) -> Response:
    logger.opt(exception=error).bind(request_id=g.get("request_id", ""), path=request.path).error("request failed")
    return respond(_listed(500, "internal"))
