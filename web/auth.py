"""One way to know who makes a request: an API token in the Authorization header, else the session cookie. Never the address.

A request that carries an Authorization header is judged by it alone: a bad token does not fall back to a cookie.
"""

from __future__ import annotations

import hmac

from flask import Request
from werkzeug.wrappers import Response

from app.config import Settings
from app.domain.permissions import Principal
from app.errors import Forbidden, Unauthenticated
from app.services import external_runs, identity
from app.services.external_runs import Bound
from web import origin

SAFE_METHODS = ("GET", "HEAD")
CSRF_HEADER = "X-CSRF-Token"


def authenticate(settings: Settings, request: Request) -> Principal:
    """Return who makes this request; raises Unauthenticated, or Forbidden where a cookie came from a foreign page."""
    header = request.headers.get("Authorization")
    if header is not None:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "bearer" or not value.strip():
            raise Unauthenticated("unauthenticated", "The Authorization header must be `Bearer` and a token.")
        return identity.by_token(value.strip())
    secret = request.cookies.get(origin.cookie_name(settings, request.host))
    if not secret:
        raise Unauthenticated("unauthenticated", "The request carries no valid credential.")
    principal = identity.by_session(secret)
    _check_page(settings, request, principal)
    return principal


def authenticate_run(request: Request) -> Bound:
    """Return the run that an executor's token is for; raises Unauthenticated unless it is the run of this address."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    run_id = (request.view_args or {})["run_id"].replace("\0", "")
    if scheme.lower() != "bearer" or not value.strip():
        raise Unauthenticated("unauthenticated", "The Authorization header must be `Bearer` and the run's token.")
    return external_runs.authenticate(value.strip(), run_id)


def _check_page(settings: Settings, request: Request, principal: Principal) -> None:
    """A cookie is sent by the browser, whoever's page asked: what changes something must come from ours and prove it.

    A WebSocket handshake is a GET that no same-origin rule guards and that can carry no header of ours: Origin decides.
    """
    is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
    if request.method in SAFE_METHODS and not is_websocket:
        return
    origin.check_origin(settings, request.host, request.headers.get("Origin"))
    if is_websocket:
        return
    given = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(given.encode(), principal.csrf_token.encode()):
        raise Forbidden("csrf_failed", "The X-CSRF-Token is missing or not that of this session.")


def set_cookie(settings: Settings, request: Request, response: Response, secret: str) -> None:
    """Log the browser in."""
    response.set_cookie(
        origin.cookie_name(settings, request.host),
        secret,
        max_age=identity.WEB_SESSION_SECONDS,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=origin.is_secure(settings, request.host),
    )


def clear_cookie(settings: Settings, request: Request, response: Response) -> None:
    """Log the browser out: the same attributes as when it was set, or browsers keep the cookie."""
    response.delete_cookie(
        origin.cookie_name(settings, request.host),
        path="/",
        httponly=True,
        samesite="Lax",
        secure=origin.is_secure(settings, request.host),
    )
