"""What tenants have laid down for their agents."""

from __future__ import annotations

import peewee

from app.models.table import JsonField, Table


class PolicyRow(Table):
    """One scope's policy; `app.domain.policy` says what its rules mean."""

    tenant_id = peewee.TextField()
    scope = peewee.TextField()
    scope_id = peewee.TextField()
    rules = JsonField()
    updated_by = peewee.TextField()
    updated_at = peewee.DoubleField()

    class Meta:
        table_name = "policies"
        primary_key = peewee.CompositeKey("tenant_id", "scope", "scope_id")
