"""Who may act: tenants, users, roles and their credentials."""

from __future__ import annotations

import peewee

from app.models.table import JsonField, Table


class Tenant(Table):
    id = peewee.TextField(primary_key=True)
    name = peewee.TextField()
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "tenants"


class User(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    name = peewee.TextField()
    disabled_at = peewee.DoubleField(null=True)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "users"


class RoleBinding(Table):
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    role = peewee.TextField()
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "user_role_bindings"
        primary_key = peewee.CompositeKey("tenant_id", "user_id", "role")


class ApiToken(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    name = peewee.TextField()
    prefix = peewee.TextField()
    token_hash = peewee.TextField()
    created_at = peewee.DoubleField()
    last_used_at = peewee.DoubleField(null=True)
    expires_at = peewee.DoubleField(null=True)
    revoked_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "api_tokens"


class LoginLink(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    code_hash = peewee.TextField()
    created_at = peewee.DoubleField()
    expires_at = peewee.DoubleField()
    used_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "login_links"


class WebSession(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    secret_hash = peewee.TextField()
    csrf_token = peewee.TextField()
    created_at = peewee.DoubleField()
    last_seen_at = peewee.DoubleField()
    expires_at = peewee.DoubleField()
    ended_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "web_sessions"


class IdempotencyKey(Table):
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    route = peewee.TextField()
    idem_key = peewee.TextField()
    body_hash = peewee.TextField()
    resource_id = peewee.TextField(null=True)
    status_code = peewee.IntegerField(null=True)
    answer = JsonField(null=True)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "idempotency_keys"
        primary_key = peewee.CompositeKey("tenant_id", "user_id", "route", "idem_key")
