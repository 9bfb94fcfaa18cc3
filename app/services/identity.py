"""Who may act: the first tenant and owner, API tokens, login links, web sessions. What each may do is `app.domain.permissions`.

Secrets are 256 random bits; SQL holds their SHA-256 alone, which needs no salt and no stretching for random values. They
are looked up by that hash, so nothing about them leaks through the time a comparison takes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app import db, ids
from app.domain import pages
from app.domain.pages import Page
from app.domain.permissions import Principal, Role, roles_of
from app.errors import NotFound, Unauthenticated
from app.models import ApiToken, LoginLink, RoleBinding, Tenant, User, WebSession

TOKEN_PREFIX = "pdk_"  # noqa: S105 - what tokens begin with, not one
SHOWN_LENGTH = 12
"""Characters of a token that lists show: its prefix and 48 of its 256 bits."""

LOGIN_LINK_SECONDS = 15 * 60
WEB_SESSION_SECONDS = 7 * 24 * 3600
WEB_SESSION_IDLE_SECONDS = 24 * 3600
TOUCH_SECONDS = 60
"""How stale "last used" may be: it is not worth a write per request."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A new credential. `value` is shown now and never again."""

    id: str
    value: str


# --- tenants and users -----------------------------------------------------------------------------------------------------


def bootstrap(token: str = "") -> Secret | None:
    """Make the default tenant, its owner and the owner's API token (`token`, or a new one); None where a tenant exists."""
    with db.transaction():
        if not db.is_sqlite():
            db.proxy.obj.execute_sql("SELECT pg_advisory_xact_lock(724012)")
        if Tenant.select().exists():
            return None
        tenant_id = create_tenant("default")
        owner = create_user(tenant_id, "owner", [Role.OWNER])
        return _insert_token(owner, "bootstrap", token or _new_token(), None)


def create_tenant(name: str) -> str:
    """Make a tenant and return its id."""
    return str(Tenant.create(id=ids.new_id("tnt"), name=name, created_at=db.now()).id)


def first_tenant_id() -> str | None:
    """Return the tenant that `bootstrap` made: whose operators keep the installation itself."""
    first = Tenant.select(Tenant.id).order_by(Tenant.created_at, Tenant.id).first()
    return str(first.id) if first is not None else None


def create_user(tenant_id: str, name: str, roles: list[Role]) -> User:
    now = db.now()
    user = User.create(id=ids.new_id("usr"), tenant_id=tenant_id, name=name, created_at=now)
    for role in roles:
        RoleBinding.create(tenant_id=tenant_id, user_id=user.id, role=role, created_at=now)
    return user


def find_first_owner() -> User | None:
    """Return the owner that `bootstrap` made: whom the operator of this machine acts as."""
    query = User.select().join(RoleBinding, on=(RoleBinding.user_id == User.id)).where(RoleBinding.role == Role.OWNER)
    found: User | None = query.order_by(User.id).first()
    return found


def names_of(user_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of these users by id."""
    rows: Any = User.select(User.id, User.name).where(User.id.in_(sorted(set(user_ids)))).tuples()
    return dict(rows)


def disable_user(user: User) -> None:
    """Nothing that this user holds opens anything from now on."""
    User.update(disabled_at=db.now()).where(User.id == user.id).execute()


# --- API tokens --------------------------------------------------------------------------------------------------------------


def create_token(user: User, name: str, *, expires_at: float | None = None) -> Secret:
    with db.transaction():
        return _insert_token(user, name, _new_token(), expires_at)


def list_tokens(principal: Principal, *, cursor: str | None, limit: int) -> Page[ApiToken]:
    """Return the principal's own tokens, revoked ones too, newest first."""
    query = ApiToken.select().where(ApiToken.tenant_id == principal.tenant_id, ApiToken.user_id == principal.user_id)
    if cursor is not None:
        query = query.where(ApiToken.id < pages.decode(cursor, str)[0])
    rows = list(query.order_by(ApiToken.id.desc()).limit(limit + 1))
    return Page(rows[:limit], pages.encode(rows[limit - 1].id) if len(rows) > limit else None)


def revoke_token(token: ApiToken) -> None:
    """The token opens nothing from now on. Idempotent."""
    ApiToken.update(revoked_at=db.now()).where(ApiToken.id == token.id, ApiToken.revoked_at.is_null()).execute()


def by_token(value: str) -> Principal:
    """Return whom an API token stands for; raises Unauthenticated."""
    now = db.now()
    token = ApiToken.get_or_none(ApiToken.token_hash == _hash(value))
    if token is None or not _token_holds(token, now):
        raise _unauthenticated()
    principal = _principal(token.tenant_id, token.user_id, "token", token.id)
    if token.last_used_at is None or token.last_used_at < now - TOUCH_SECONDS:
        ApiToken.update(last_used_at=now).where(ApiToken.id == token.id).execute()
    return principal


# --- login links and web sessions --------------------------------------------------------------------------------------------


def create_login_link(user: User, *, seconds: float = LOGIN_LINK_SECONDS) -> Secret:
    """Make a link code that logs this user in once, within `seconds`."""
    code, now = secrets.token_urlsafe(32), db.now()
    link_id = ids.new_id("lnk")
    LoginLink.create(
        id=link_id,
        tenant_id=user.tenant_id,
        user_id=user.id,
        code_hash=_hash(code),
        created_at=now,
        expires_at=now + seconds,
    )
    return Secret(link_id, code)


def log_in_by_link(code: str) -> Secret:
    """Use up a link and return the secret of a new web session; raises Unauthenticated `login_failed`."""
    with db.transaction():
        now = db.now()
        used = (
            LoginLink.update(used_at=now)
            .where(LoginLink.code_hash == _hash(code), LoginLink.used_at.is_null(), LoginLink.expires_at > now)
            .execute()
        )
        if used != 1:
            raise login_failed()
        link = LoginLink.get(LoginLink.code_hash == _hash(code))
        return _start_session(link.tenant_id, link.user_id, now)


def log_in_by_token(value: str) -> Secret:
    """Return the secret of a new web session for the holder of an API token; raises Unauthenticated `login_failed`."""
    try:
        principal = by_token(value)
    except Unauthenticated:
        raise login_failed() from None
    with db.transaction():
        return _start_session(principal.tenant_id, principal.user_id, db.now())


def by_session(secret: str) -> Principal:
    """Return whom a web session stands for; raises Unauthenticated."""
    now = db.now()
    session = WebSession.get_or_none(WebSession.secret_hash == _hash(secret))
    if session is None or not _session_holds(session, now):
        raise _unauthenticated()
    principal = _principal(session.tenant_id, session.user_id, "session", session.id, session.csrf_token)
    if session.last_seen_at < now - TOUCH_SECONDS:
        WebSession.update(last_seen_at=now).where(WebSession.id == session.id).execute()
    return principal


def end_session(session_id: str) -> None:
    """The web session opens nothing from now on. Idempotent."""
    WebSession.update(ended_at=db.now()).where(WebSession.id == session_id, WebSession.ended_at.is_null()).execute()


def end_session_of(secret: str) -> None:
    """End the session behind a cookie, if there is one: at a new login the old one must not live on."""
    WebSession.update(ended_at=db.now()).where(
        WebSession.secret_hash == _hash(secret), WebSession.ended_at.is_null()
    ).execute()


def still_holds(principal: Principal) -> bool:
    """Tell whether what the principal came with is valid now: asked again and again by open streams."""
    now = db.now()
    if principal.credential == "token":
        token = ApiToken.get_or_none(ApiToken.id == principal.credential_id)
        valid = token is not None and _token_holds(token, now)
    else:
        session = WebSession.get_or_none(WebSession.id == principal.credential_id)
        valid = session is not None and _session_holds(session, now)
    return valid and _find_active(principal.tenant_id, principal.user_id) is not None


def login_failed() -> Unauthenticated:
    return Unauthenticated("login_failed", "The token or login link is wrong, used or expired.")


# --- inside ------------------------------------------------------------------------------------------------------------------


def _new_token() -> str:
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _insert_token(user: User, name: str, value: str, expires_at: float | None) -> Secret:
    token_id = ids.new_id("tok")
    ApiToken.create(
        id=token_id,
        tenant_id=user.tenant_id,
        user_id=user.id,
        name=name,
        prefix=value[:SHOWN_LENGTH] if value.startswith(TOKEN_PREFIX) else "(given)",
        token_hash=_hash(value),
        created_at=db.now(),
        expires_at=expires_at,
    )
    return Secret(token_id, value)


def _start_session(tenant_id: str, user_id: str, now: float) -> Secret:
    if _find_active(tenant_id, user_id) is None:
        raise login_failed()
    secret, session_id = secrets.token_urlsafe(32), ids.new_id("web")
    WebSession.create(
        id=session_id,
        tenant_id=tenant_id,
        user_id=user_id,
        secret_hash=_hash(secret),
        csrf_token=secrets.token_urlsafe(32),
        created_at=now,
        last_seen_at=now,
        expires_at=now + WEB_SESSION_SECONDS,
    )
    return Secret(session_id, secret)


def _token_holds(token: ApiToken, now: float) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _session_holds(session: WebSession, now: float) -> bool:
    awake = session.last_seen_at > now - WEB_SESSION_IDLE_SECONDS
    return session.ended_at is None and session.expires_at > now and awake


def _find_active(tenant_id: str, user_id: str) -> User | None:
    user: User | None = User.get_or_none(User.id == user_id, User.tenant_id == tenant_id, User.disabled_at.is_null())
    return user


def _principal(tenant_id: str, user_id: str, credential: Any, credential_id: str, csrf_token: str = "") -> Principal:
    user = _find_active(tenant_id, user_id)
    if user is None:
        raise _unauthenticated()
    bindings = RoleBinding.select(RoleBinding.role).where(
        RoleBinding.tenant_id == tenant_id, RoleBinding.user_id == user_id
    )
    roles = roles_of(binding.role for binding in bindings)
    return Principal(tenant_id, user_id, user.name, roles, credential, credential_id, csrf_token)


def get_user(principal: Principal, name: str | None = None) -> User:
    """Return a user of the principal's tenant by name, himself without one; raises NotFound."""
    wanted = User.id == principal.user_id if name is None else User.name == name
    user = User.get_or_none(wanted, User.tenant_id == principal.tenant_id, User.disabled_at.is_null())
    if user is None:
        raise NotFound("user")
    found: User = user
    return found


def _unauthenticated() -> Unauthenticated:
    return Unauthenticated("unauthenticated", "The request carries no valid credential.")
