"""Policies: how long people have to answer an agent, what becomes of what nobody answered, and what runs may use that name no budget.
Per tenant and session."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.log import logger
from app.services import policy
from web import access
from web.routing import Routes
from web.schemas.policies import PolicyBody, PolicyQuery, PolicyView, policy_of, policy_view

routes = Routes("policy")


@routes.get("/api/policy", Permission.POLICY_READ)
def get_policy(principal: Principal, query: PolicyQuery) -> PolicyView:
    """Read the tenant's policy, or with `sessionId` a session's within it."""
    return _view(_place(principal, query.session_id, Permission.POLICY_READ))


@routes.put("/api/policy", Permission.POLICY_WRITE)
def put_policy(principal: Principal, body: PolicyBody) -> PolicyView:
    """Lay down the tenant's policy, or a session's. It holds for what is asked from now on."""
    place = _place(principal, body.session_id, Permission.POLICY_WRITE)
    policy.lay_down(place, policy_of(body), principal.user_id)
    logger.info("policy laid down", scope=place.scope, scope_id=place.scope_id, by=principal.user_id)
    return _view(place)


def _place(principal: Principal, session_id: str | None, permission: Permission) -> policy.Place:
    session = access.get_session(principal, session_id, permission) if session_id is not None else None
    return policy.Place(principal.tenant_id, session.id if session is not None else None)


def _view(place: policy.Place) -> PolicyView:
    return policy_view(place, policy.own(place), policy.effective(place))
