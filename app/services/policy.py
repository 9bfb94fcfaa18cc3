"""What an agent may do without asking, and how long people have to answer.

Verdicts: until rules come there is one built-in set: reading is allowed, every effect is asked; a run may widen it for itself
inside its sandbox (`--allow-edits`, `--allow-all`). Deadlines are kept per tenant and session; what they mean is
`app.domain.policy`."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app import db
from app.domain.policy import Policy, Scope
from app.domain.turn import AskPolicy
from app.models import PolicyRow

WORKSPACE = "/workspace"
_READING = frozenset({"read", "search", "think"})
_PATH_NAMES = ("file_path", "notebook_path", "path")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` names what decided, so that people see why they were asked or not."""

    verdict: Literal["allow", "deny", "ask"]
    rule: str


def decide(request: AskPolicy, options: Mapping[str, Any]) -> Verdict:
    """Return the verdict on one tool call of a run with these options (`approval`: ask, edits or all)."""
    approval = options.get("approval", "ask")
    if request.kind in _READING:
        return Verdict("allow", "default:reading")
    if approval == "all":
        return Verdict("allow", "run:allow-all")
    if approval == "edits" and request.kind == "edit" and _inside_workspace(request.input):
        return Verdict("allow", "run:allow-edits")
    return Verdict("ask", "default:effects")


def _inside_workspace(tool_input: Mapping[str, Any]) -> bool:
    paths = [tool_input[name] for name in _PATH_NAMES if isinstance(tool_input.get(name), str)]
    resolved = [posixpath.normpath(posixpath.join(WORKSPACE, path)) for path in paths]
    return bool(resolved) and all(path.startswith(WORKSPACE + "/") for path in resolved)


# --- kept policies -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """What a policy holds for: a tenant, or one session of it."""

    tenant_id: str
    session_id: str | None = None

    @property
    def scope(self) -> Scope:
        return "tenant" if self.session_id is None else "session"

    @property
    def scope_id(self) -> str:
        return self.session_id or self.tenant_id


def own(place: Place) -> Policy:
    """Return what was laid down for exactly this scope."""
    row = PolicyRow.get_or_none(_is(place))
    return Policy() if row is None else Policy.of(row.rules)


def effective(place: Place) -> Policy:
    """Return what holds for a session: its own policy within its tenant's."""
    tenant = own(Place(place.tenant_id))
    return tenant if place.session_id is None else own(place).within(tenant)


def lay_down(place: Place, policy: Policy, by: str) -> None:
    """Replace the policy of a scope. It holds for what is asked from now on; requests that are open keep what they began with."""
    fields = {"rules": policy.as_rules(), "updated_by": by, "updated_at": db.now()}
    keys = {"tenant_id": place.tenant_id, "scope": place.scope, "scope_id": place.scope_id}
    target = [PolicyRow.tenant_id, PolicyRow.scope, PolicyRow.scope_id]
    with db.transaction():
        PolicyRow.insert(**keys, **fields).on_conflict(conflict_target=target, update=fields).execute()


def _is(place: Place) -> Any:
    return (
        (PolicyRow.tenant_id == place.tenant_id)
        & (PolicyRow.scope == place.scope)
        & (PolicyRow.scope_id == place.scope_id)
    )
