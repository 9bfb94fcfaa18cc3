"""The few pages of the web tier itself: logging in by a link, the API, a problem for a person. No script runs on any of them.

A login link's address is only looked at by a GET, so that a mail program's preview does not use it up; the button sends it.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from flask import Response, redirect, render_template, request
from markupsafe import Markup
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.wrappers import Response as AnyResponse

from app.domain.problems import PROBLEMS
from web import auth, origin
from web.api.accounts import log_in
from web.openapi import document, operations
from web.parts import Parts, parts
from web.routing import PUBLIC, Routes
from web.wire import json_response

routes = Routes("pages")

STYLE = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@routes.get("/login", PUBLIC, produces="text/html")
def show_login() -> Response:
    """Show the button that uses up a login link."""
    return page("login.html", code=request.args.get("code", "")[:200])


@routes.post("/login", PUBLIC, consumes=("application/x-www-form-urlencoded",), produces="text/html")
def use_login() -> AnyResponse:
    """Log in by the code of a link and go to the start page."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType
    origin.check_origin(parts().settings, request.host, request.headers.get("Origin"))
    secret = log_in(code=request.form.get("code", "")[:200])
    response = redirect("/", 303)
    auth.set_cookie(parts().settings, request, response, secret.value)
    return response


@routes.get("/openapi.json", PUBLIC)
def openapi_json(parts: Parts) -> Response:
    """The API as an OpenAPI document."""
    return json_response(document(parts.settings.address))


@routes.get("/openapi", PUBLIC, produces="text/html")
def openapi_page() -> Response:
    """The same for people, with the list of error codes."""
    return page("openapi.html", operations=operations(), problems=PROBLEMS)


def problem_page(problem: dict[str, Any]) -> Response:
    """Return a problem as a page."""
    return page("problem.html", status=int(problem["status"]), problem=problem)


def page(template: str, *, status: int = 200, **values: Any) -> Response:
    """Return a page of ours; its only style is allowed by its hash."""
    html = render_template(template, style=Markup(STYLE), **values)  # noqa: S704 - a file of ours
    headers = {"Content-Security-Policy": CONTENT_POLICY}
    return Response(html, status=status, headers=headers, content_type="text/html; charset=utf-8")
