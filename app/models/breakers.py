"""The table of providers that fail."""

from __future__ import annotations

import peewee

from app.models.table import Table


class ProviderBreaker(Table):
    """One provider of one tenant; `sql/0007_provider_breakers.sql` says what the columns mean."""

    tenant_id = peewee.TextField()
    provider = peewee.TextField()
    failures = peewee.IntegerField()
    failure_code = peewee.TextField()
    remedy = peewee.TextField()
    opened_at = peewee.DoubleField(null=True)
    trial_at = peewee.DoubleField(null=True)
    trial_run_id = peewee.TextField(null=True)
    trials = peewee.IntegerField(default=0)
    changed_at = peewee.DoubleField()

    class Meta:
        table_name = "provider_breakers"
        primary_key = peewee.CompositeKey("tenant_id", "provider")
