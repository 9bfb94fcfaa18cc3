"""Who may do what: roles, permissions and the principal that carries them. Loading objects under them is `web.access`.

Two questions are kept apart. *Reach* is what a principal may see: a member sees the sessions he owns; owner, operator and
viewer see every session of their tenant (a viewer owns none: without that reach the role would be empty). What is out of
reach does not exist for the caller (404). *Permission* is what he may do with what he sees; without it the answer is 403.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    OWNER = "owner"
    OPERATOR = "operator"
    MEMBER = "member"
    VIEWER = "viewer"


class Permission(StrEnum):
    """`scope:resource:action`. Scope `account` is about oneself, `session` about sessions and what hangs on them, `tenant`
    about the tenant as a whole."""

    ACCOUNT_READ = "account:profile:read"
    ACCOUNT_TOKENS = "account:tokens:manage"
    BUNDLE_CREATE = "session:bundle:create"
    HUMAN_LOOP_READ = "session:human_loop:read"
    HUMAN_LOOP_REPLY = "session:human_loop:reply"
    RUN_BIND = "session:run:bind"
    RUN_CREATE = "session:run:create"
    RUN_MOVE = "session:run:move"
    RUN_READ = "session:run:read"
    RUN_STEER = "session:run:steer"
    RUN_STOP = "session:run:stop"
    SESSION_READ = "session:session:read"
    SESSION_WRITE = "session:session:write"
    WORKER_OPERATE = "session:worker:operate"
    WORKER_READ = "session:worker:read"
    WORKSPACE_READ = "session:workspace:read"
    LOGIN_LINK_CREATE = "tenant:login_link:create"
    POLICY_READ = "tenant:policy:read"
    POLICY_WRITE = "tenant:policy:write"
    PROCESS_MAINTAIN = "tenant:process:maintain"
    PROCESS_READ = "tenant:process:read"
    PROVIDER_PREFLIGHT = "tenant:provider:preflight"
    PROVIDER_READ = "tenant:provider:read"
    QUEUE_MAINTAIN = "tenant:queue:maintain"
    QUEUE_READ = "tenant:queue:read"
    RUN_STOP_ALL = "tenant:run:stop_all"
    WORKER_MAINTAIN = "tenant:worker:maintain"


_READING = frozenset(
    {
        Permission.ACCOUNT_READ,
        Permission.ACCOUNT_TOKENS,
        Permission.HUMAN_LOOP_READ,
        Permission.POLICY_READ,
        Permission.PROVIDER_READ,
        Permission.QUEUE_READ,
        Permission.RUN_READ,
        Permission.SESSION_READ,
        Permission.WORKER_READ,
        Permission.WORKSPACE_READ,
    }
)
_WORKING = _READING | {
    Permission.BUNDLE_CREATE,
    Permission.HUMAN_LOOP_REPLY,
    Permission.PROVIDER_PREFLIGHT,
    Permission.RUN_BIND,
    Permission.RUN_CREATE,
    Permission.RUN_MOVE,
    Permission.RUN_STEER,
    Permission.RUN_STOP,
    Permission.SESSION_WRITE,
    Permission.WORKER_OPERATE,
}
_OPERATING = _WORKING | {
    Permission.POLICY_WRITE,
    Permission.PROCESS_MAINTAIN,
    Permission.PROCESS_READ,
    Permission.QUEUE_MAINTAIN,
    Permission.RUN_STOP_ALL,
    Permission.WORKER_MAINTAIN,
}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _READING,
    Role.MEMBER: _WORKING,
    Role.OPERATOR: _OPERATING,
    Role.OWNER: _OPERATING | {Permission.LOGIN_LINK_CREATE},
}

_SEES_THE_TENANT = frozenset({Role.OWNER, Role.OPERATOR, Role.VIEWER})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. `credential_id` names the token or web session it came with, so that an open stream can ask
    later whether it still holds; `csrf_token` belongs to a web session."""

    tenant_id: str
    user_id: str
    user_name: str
    roles: frozenset[Role]
    credential: Literal["token", "session"]
    credential_id: str
    csrf_token: str = ""

    @property
    def permissions(self) -> frozenset[Permission]:
        return frozenset().union(*(PERMISSIONS[role] for role in self.roles))

    @property
    def sees_tenant(self) -> bool:
        return bool(self.roles & _SEES_THE_TENANT)

    @property
    def owner_filter(self) -> str | None:
        """The user whose objects this principal sees; None where he sees all of his tenant."""
        return None if self.sees_tenant else self.user_id

    def may(self, permission: Permission) -> bool:
        return permission in self.permissions


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Return the roles by their names in SQL."""
    return frozenset(Role(name) for name in names)
