"""What went through the model proxy."""

from __future__ import annotations

import peewee

from app.models.table import Table


class ModelCall(Table):
    """One call of a model; `sql/0006_model_calls.sql` and `0010` say what the columns mean."""

    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    run_id = peewee.TextField()
    attempt = peewee.IntegerField()
    protocol = peewee.TextField()
    model = peewee.TextField()
    state = peewee.TextField(default="open")
    holder = peewee.TextField()
    http_status = peewee.IntegerField(null=True)
    input = peewee.BigIntegerField(default=0)
    output = peewee.BigIntegerField(default=0)
    cache_read = peewee.BigIntegerField(default=0)
    cache_write_5m = peewee.BigIntegerField(default=0)
    cache_write_1h = peewee.BigIntegerField(default=0)
    reasoning = peewee.BigIntegerField(default=0)
    estimated = peewee.BigIntegerField(default=0)
    cost_usd = peewee.DoubleField(null=True)
    most_tokens = peewee.BigIntegerField(null=True)
    most_usd = peewee.DoubleField(null=True)
    started_at = peewee.DoubleField()
    ended_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "model_calls"
