"""The fixed cast of integration and security tests: two tenants, each role once, and credentials that no longer open anything.

alice owns the tenant, otto operates it, bob and mallory are members (each with a session of their own where a test makes one),
victor only looks, charlie owns another tenant, dora is disabled.
"""

from __future__ import annotations

from dataclasses import dataclass

from app import db
from app.domain.permissions import Principal, Role
from app.models import User, WebSession
from app.services import identity


@dataclass(frozen=True)
class Person:
    """Somebody with an API token that holds (or once held)."""

    user: User
    token: str
    token_id: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def principal(self) -> Principal:
        return identity.by_token(self.token)


@dataclass(frozen=True)
class Cast:
    alice: Person
    otto: Person
    bob: Person
    mallory: Person
    victor: Person
    charlie: Person
    dora: Person
    revoked: str
    expired: str
    ended_session: str


def assemble() -> Cast:
    """Write the cast into the bound database."""
    ours, theirs = identity.create_tenant("ours"), identity.create_tenant("theirs")
    bob = person(ours, "bob", Role.MEMBER)
    dora = person(ours, "dora", Role.MEMBER)
    identity.disable_user(dora.user)
    revoked = identity.create_token(bob.user, "revoked")
    identity.revoke_token(identity.ApiToken.get_by_id(revoked.id))
    ended = web_session(bob.user)
    identity.end_session(WebSession.get(WebSession.user_id == bob.user.id).id)
    return Cast(
        alice=person(ours, "alice", Role.OWNER),
        otto=person(ours, "otto", Role.OPERATOR),
        bob=bob,
        mallory=person(ours, "mallory", Role.MEMBER),
        victor=person(ours, "victor", Role.VIEWER),
        charlie=person(theirs, "charlie", Role.OWNER),
        dora=dora,
        revoked=revoked.value,
        expired=identity.create_token(bob.user, "expired", expires_at=db.now() - 1).value,
        ended_session=ended,
    )


def person(tenant_id: str, name: str, role: Role) -> Person:
    user = identity.create_user(tenant_id, name, [role])
    token = identity.create_token(user, f"{name}'s")
    return Person(user, token.value, token.id)


def web_session(user: User) -> str:
    """Log a user in as a browser does; returns the cookie's secret."""
    return identity.log_in_by_link(identity.create_login_link(user).value).value
