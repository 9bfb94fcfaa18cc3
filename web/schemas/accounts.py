"""Accounts on the wire: logging in, who am I, API tokens, login links."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.domain.permissions import Principal
from app.models import ApiToken
from web.schemas.common import when
from web.wire import Given, Shown

SECRET = Field(min_length=1, max_length=512)


class LoginBody(Given):
    """An API token or the code of a login link."""

    token: Annotated[str, SECRET] | None = None
    code: Annotated[str, SECRET] | None = None

    @model_validator(mode="after")
    def _one(self) -> LoginBody:
        if (self.token is None) == (self.code is None):
            raise ValueError("Give exactly one of token and code.")
        return self


class Me(Shown):
    """Who makes this request. `csrfToken` is there for a web session: send it as X-CSRF-Token with what changes something."""

    user_id: str
    name: str
    tenant_id: str
    roles: list[str]
    permissions: list[str]
    credential: str
    csrf_token: str | None = None


class TokenBody(Given):
    name: str = Field(min_length=1, max_length=100)
    expires_in_seconds: int | None = Field(None, ge=60, le=10 * 365 * 86_400)


class TokenView(Shown):
    """A token by its first characters."""

    token_id: str
    name: str
    prefix: str
    created_at: str
    last_used_at: str | None = None
    expires_at: str | None = None
    revoked_at: str | None = None


class NewToken(TokenView):
    """The only time that the token itself is shown; a replay of the request lacks it."""

    token: str


class LoginLinkBody(Given):
    """`user` is a name of the tenant; left out: oneself."""

    user: str | None = Field(None, min_length=1, max_length=100)


class LoginLink(Shown):
    """A link that logs in once. A replay of the request lacks it."""

    link_id: str
    expires_in_seconds: int
    url: str


def me(principal: Principal) -> Me:
    return Me(
        user_id=principal.user_id,
        name=principal.user_name,
        tenant_id=principal.tenant_id,
        roles=sorted(principal.roles),
        permissions=sorted(principal.permissions),
        credential=principal.credential,
        csrf_token=principal.csrf_token or None,
    )


def token_fields(token: ApiToken) -> dict[str, str | None]:
    return {
        "token_id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "created_at": when(token.created_at),
        "last_used_at": when(token.last_used_at),
        "expires_at": when(token.expires_at),
        "revoked_at": when(token.revoked_at),
    }
