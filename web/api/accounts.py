"""Accounts: logging in and out, who am I, API tokens, login links."""

from __future__ import annotations

from flask import Response, request

from app import db
from app.domain.permissions import Permission, Principal
from app.models import ApiToken
from app.services import identity
from app.services.identity import Secret
from web import auth, origin
from web.parts import Parts, parts
from web.routing import PUBLIC, Routes
from web.schemas.accounts import (
    LoginBody,
    LoginLink,
    LoginLinkBody,
    Me,
    NewToken,
    TokenBody,
    TokenView,
    me,
    token_fields,
)
from web.schemas.common import Done, PageOf, PageQuery
from web.wire import Reply, json_response

routes = Routes("accounts")


@routes.post("/api/auth/login", PUBLIC, answers=Me)
def login(body: LoginBody) -> Response:
    """Exchange an API token or a login link's code for a session cookie."""
    if request.headers.get("Origin") is not None:
        origin.check_origin(parts().settings, request.host, request.headers["Origin"])
    secret = log_in(token=body.token, code=body.code)
    response = json_response(me(identity.by_session(secret.value)).to_json())
    auth.set_cookie(parts().settings, request, response, secret.value)
    return response


def log_in(*, token: str | None = None, code: str | None = None) -> Secret:
    """Start a web session and end the one that this browser had. Counts failures by address."""
    with parts().logins.attempt(request.remote_addr or ""):
        secret = identity.log_in_by_token(token) if token is not None else identity.log_in_by_link(code or "")
    before = request.cookies.get(origin.cookie_name(parts().settings, request.host))
    if before:
        identity.end_session_of(before)
    return secret


@routes.post("/api/auth/logout", Permission.ACCOUNT_READ, answers=Done)
def logout(principal: Principal) -> Response:
    """End the session of this cookie. A token is not ended by it: revoke it instead."""
    if principal.credential == "session":
        identity.end_session(principal.credential_id)
    response = json_response(Done(ok=True).to_json())
    auth.clear_cookie(parts().settings, request, response)
    return response


@routes.get("/api/me", Permission.ACCOUNT_READ)
def get_me(principal: Principal) -> Me:
    """Read who makes this request, with which roles, and the session's CSRF token."""
    return me(principal)


# --- API tokens ----------------------------------------------------------------------------------------------------------------


@routes.get("/api/tokens", Permission.ACCOUNT_TOKENS)
def list_tokens(principal: Principal, query: PageQuery) -> PageOf[TokenView]:
    """List one's own tokens by their first characters, the newest first."""
    page = identity.list_tokens(principal, cursor=query.cursor, limit=query.limit)
    items = [TokenView.model_validate(token_fields(token)) for token in page.items]
    return PageOf[TokenView](items=items, next_cursor=page.next_cursor)


@routes.post("/api/tokens", Permission.ACCOUNT_TOKENS, hide=("token",), answers=NewToken, status=201)
def create_token(principal: Principal, body: TokenBody) -> NewToken:
    """Make an API token for oneself. It is shown this once."""
    expires_at = db.now() + body.expires_in_seconds if body.expires_in_seconds else None
    secret = identity.create_token(identity.get_user(principal), body.name, expires_at=expires_at)
    return NewToken.model_validate({**token_fields(ApiToken.get_by_id(secret.id)), "token": secret.value})


@routes.delete("/api/tokens/<token_id>", Permission.ACCOUNT_TOKENS)
def revoke_token(token: ApiToken) -> Done:
    """Make a token useless at once."""
    identity.revoke_token(token)
    return Done(ok=True)


@routes.post("/api/auth/login-links", Permission.LOGIN_LINK_CREATE, hide=("url",), answers=LoginLink, status=201)
def create_login_link(principal: Principal, parts: Parts, body: LoginLinkBody) -> Reply:
    """Make a link that logs a user of this tenant in, once."""
    secret = identity.create_login_link(identity.get_user(principal, body.user))
    link = LoginLink(
        link_id=secret.id,
        expires_in_seconds=identity.LOGIN_LINK_SECONDS,
        url=f"{parts.settings.address}/login?code={secret.value}",
    )
    return Reply(link, 201)
