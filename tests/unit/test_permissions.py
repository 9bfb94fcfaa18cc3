"""Roles, permissions and reach."""

from __future__ import annotations

from itertools import pairwise

import pytest

from app.domain.permissions import PERMISSIONS, Permission, Principal, Role


def principal(*roles: Role) -> Principal:
    return Principal("tnt", "usr", "x", frozenset(roles), "token", "tok")


def test_every_permission_says_scope_resource_and_action() -> None:
    for permission in Permission:
        scope, resource, action = permission.split(":")
        assert scope in ("account", "session", "tenant")
        assert resource
        assert action


def test_permissions_are_listed_in_alphabetical_order_of_their_values() -> None:
    values = [str(permission) for permission in Permission]

    assert values == sorted(values)


def test_each_role_may_what_the_one_below_it_may() -> None:
    ladder = [Role.VIEWER, Role.MEMBER, Role.OPERATOR, Role.OWNER]
    for lower, higher in pairwise(ladder):
        assert PERMISSIONS[lower] < PERMISSIONS[higher]


def test_an_owner_may_everything() -> None:
    assert PERMISSIONS[Role.OWNER] == set(Permission)


def test_a_viewer_changes_nothing_but_his_own_tokens() -> None:
    acts = {permission for permission in PERMISSIONS[Role.VIEWER] if not permission.endswith(":read")}

    assert acts == {Permission.ACCOUNT_TOKENS}


@pytest.mark.parametrize(
    ("roles", "sees"),
    [((Role.MEMBER,), False), ((Role.VIEWER,), True), ((Role.MEMBER, Role.VIEWER), True), ((), False)],
)
def test_only_members_are_held_to_their_own(roles: tuple[Role, ...], sees: bool) -> None:
    assert principal(*roles).sees_tenant is sees
    assert (principal(*roles).owner_filter is None) is sees


def test_nobody_without_a_role_may_anything() -> None:
    assert principal().permissions == frozenset()
