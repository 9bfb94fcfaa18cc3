"""The loaders: the one way to hold an object of another than oneself. What is out of reach is NotFound, exactly as if absent;
what is in reach but not allowed is Forbidden. A view that asks for an object gets it through the table at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.domain.permissions import Permission, Principal
from app.errors import Forbidden, NotFound
from app.models import AgentRun, ApiToken, Bundle, ChatSession, HumanLoopRequest


def require(principal: Principal, permission: Permission) -> None:
    """Raise Forbidden `permission_missing` unless the principal's roles allow it."""
    if not principal.may(permission):
        raise Forbidden("permission_missing", f"Your roles do not include the permission {permission}.")


def get_session(principal: Principal, session_id: str, permission: Permission) -> ChatSession:
    session = _find_session(principal, session_id)
    if session is None:
        raise NotFound("session")
    require(principal, permission)
    return session


def get_run(principal: Principal, run_id: str, permission: Permission) -> AgentRun:
    """A run belongs to whom its session belongs to, whoever sent its message."""
    run: AgentRun | None = AgentRun.get_or_none(AgentRun.id == run_id, AgentRun.tenant_id == principal.tenant_id)
    if run is None or _find_session(principal, run.session_id) is None:
        raise NotFound("run")
    require(principal, permission)
    return run


def get_request(principal: Principal, request_id: str, permission: Permission) -> HumanLoopRequest:
    request: HumanLoopRequest | None = HumanLoopRequest.get_or_none(
        HumanLoopRequest.id == request_id, HumanLoopRequest.tenant_id == principal.tenant_id
    )
    if request is None or _find_session(principal, request.session_id) is None:
        raise NotFound("human-loop request")
    require(principal, permission)
    return request


def get_token(principal: Principal, token_id: str, permission: Permission) -> ApiToken:
    """Only one's own: a token acts as its user, and nobody acts as somebody else."""
    token: ApiToken | None = ApiToken.get_or_none(
        ApiToken.id == token_id, ApiToken.tenant_id == principal.tenant_id, ApiToken.user_id == principal.user_id
    )
    if token is None:
        raise NotFound("token")
    require(principal, permission)
    return token


def get_bundle(principal: Principal, bundle_id: str, permission: Permission) -> Bundle:
    """Only one's own: a bundle holds somebody's source code, and seeds one session of his."""
    bundle: Bundle | None = Bundle.get_or_none(
        Bundle.id == bundle_id, Bundle.tenant_id == principal.tenant_id, Bundle.user_id == principal.user_id
    )
    if bundle is None:
        raise NotFound("bundle")
    require(principal, permission)
    return bundle


def _find_session(principal: Principal, session_id: str) -> ChatSession | None:
    of_tenant = (ChatSession.tenant_id == principal.tenant_id) & ChatSession.deleted_at.is_null()
    query = ChatSession.select().where(ChatSession.id == session_id, of_tenant)
    if principal.owner_filter is not None:
        query = query.where(ChatSession.user_id == principal.owner_filter)
    found: ChatSession | None = query.first()
    return found


Loader = Callable[[Principal, str, Permission], Any]

LOADERS: dict[type, tuple[str, Loader]] = {
    AgentRun: ("run_id", get_run),
    ApiToken: ("token_id", get_token),
    ChatSession: ("session_id", get_session),
}
"""By the type a view asks for: the variable of the address that names the object, and its loader."""
