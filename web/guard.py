"""What happens around every request, in this order: request id, Host, who, limits, permission or loader; then the view.

Nothing of a request is worked on before its principal is known and allowed (promise S4); afterwards the connection to the
database is given back, which is before a stream's first byte.
"""

from __future__ import annotations

import re
import time

from flask import Flask, Response, g, request

from app import db, ids, trace
from app.domain.permissions import Permission
from app.log import label, logger, start_context
from web import access, auth, origin
from web.parts import parts
from web.routing import PUBLIC, RUN_TOKEN, Endpoint, endpoints

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NO_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For everything that is not a page of ours: a browser that shows it as one gets nothing to run."""


def install(app: Flask) -> None:
    """Put the guard around all requests of the application."""

    def before() -> None:
        _enter()
        endpoint = endpoints(app).get(request.endpoint or "")
        if endpoint is None:
            return  # no such address: the 404 or 405 follows
        g.endpoint = endpoint
        if endpoint.options.max_bytes:
            request.max_content_length = getattr(parts().settings, endpoint.options.max_bytes)
        if endpoint.access == PUBLIC:
            return
        if endpoint.access == RUN_TOKEN:
            _enter_by_run_token()
            return
        g.principal = auth.authenticate(parts().settings, request)
        parts().calls.take(g.principal.user_id)
        _load(endpoint, endpoint.access)

    def after(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Content-Security-Policy", NO_CONTENT_POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        if response.is_streamed:
            response.call_on_close(release_connection)
        response.headers["X-Request-Id"] = g.get("request_id", "")
        response.headers["X-Trace-Id"] = g.get("trace_id", "")
        _log(response)
        return response

    app.before_request(before)
    app.after_request(after)
    app.teardown_request(lambda _: release_connection())


def release_connection() -> None:
    """Give this request's connection to the database back."""
    with db.connection():
        pass


def _enter() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.match(given) else ids.new_id("req")
    told = request.headers
    g.trace_id = trace.of_request(told.get(trace.HEADER, ""), told.get("X-Trace-Id", ""), g.request_id)
    start_context(trace_id=g.trace_id)
    named = request.view_args or {}
    label(run_id=named.get("run_id"), session_id=named.get("session_id"))
    g.started = time.monotonic()
    origin.check_host(parts().settings, request.host)


def _load(endpoint: Endpoint, permission: Permission) -> None:
    g.loaded = {}
    for name, kind in endpoint.loads.items():
        variable, load = access.LOADERS[kind]
        named = (request.view_args or {})[variable].replace("\0", "")  # PostgreSQL takes no NUL, and no id has one
        g.loaded[name] = load(g.principal, named, permission)
    if not g.loaded:
        access.require(g.principal, permission)


def _enter_by_run_token() -> None:
    g.bound = auth.authenticate_run(request)
    parts().calls.take(g.bound.run.id)


def _log(response: Response) -> None:
    route = g.endpoint.name if "endpoint" in g else "-"
    seconds = time.monotonic() - g.get("started", time.monotonic())
    counters = parts().container.counters
    counters.add("paddock_http_requests_total", {"route": route, "status": response.status_code})
    counters.observe("paddock_http_request_seconds", {"route": route}, seconds)
    logger.bind(
        requestId=g.get("request_id", ""),
        method=request.method,
        path=request.path,
        status=response.status_code,
        milliseconds=round(seconds * 1000, 1),
        user_id=g.principal.user_id if "principal" in g else None,
    ).log("WARNING" if response.status_code >= 500 else "INFO", "request served")
