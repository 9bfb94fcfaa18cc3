"""What is told to other systems."""

from __future__ import annotations

import peewee

from app.models.table import JsonField, Table


class WebhookDelivery(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    subject = peewee.TextField()
    target = peewee.TextField()
    type = peewee.TextField()
    payload = JsonField()
    tries = peewee.IntegerField(default=0)
    next_at = peewee.DoubleField(null=True)
    delivered_at = peewee.DoubleField(null=True)
    error = peewee.TextField(null=True)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "webhook_deliveries"
