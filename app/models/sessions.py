"""Sessions, their sandboxes, and what was saved of them."""

from __future__ import annotations

import peewee

from app.models.table import JsonField, Table


class Bundle(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    object_key = peewee.TextField()
    size = peewee.BigIntegerField()
    sha256 = peewee.TextField()
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "bundles"


class ChatSession(Table):
    """A session of SPEC §1; the table keeps the sources' name."""

    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    title = peewee.TextField(default="")
    provider = peewee.TextField()
    model = peewee.TextField(null=True)
    repo_url = peewee.TextField(null=True)
    repo_ref = peewee.TextField(null=True)
    bundle_id = peewee.TextField(null=True)
    last_seq = peewee.BigIntegerField(default=0)
    created_at = peewee.DoubleField()
    updated_at = peewee.DoubleField()
    archived_at = peewee.DoubleField(null=True)
    deleted_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "chat_sessions"


class ChatRead(Table):
    tenant_id = peewee.TextField()
    user_id = peewee.TextField()
    session_id = peewee.TextField()
    read_at = peewee.DoubleField()

    class Meta:
        table_name = "chat_reads"
        primary_key = peewee.CompositeKey("tenant_id", "user_id", "session_id")


class SessionWorker(Table):
    session_id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    status = peewee.TextField()
    generation = peewee.BigIntegerField(default=0)
    last_sync_status = peewee.TextField(default="never")
    last_sync_error = peewee.TextField(null=True)
    last_sync_at = peewee.DoubleField(null=True)
    snapshot_id = peewee.TextField(null=True)
    baseline = peewee.TextField(null=True)
    receipt = JsonField(null=True)
    wish = peewee.TextField(null=True)
    wish_at = peewee.DoubleField(null=True)
    wish_error = peewee.TextField(null=True)
    lease_owner = peewee.TextField(null=True)
    lease_until = peewee.DoubleField(null=True)
    lease_epoch = peewee.BigIntegerField(default=0)
    error = peewee.TextField(null=True)
    last_used_at = peewee.DoubleField()
    started_at = peewee.DoubleField(null=True)
    stopped_at = peewee.DoubleField(null=True)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "session_workers"


class Snapshot(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    session_id = peewee.TextField()
    run_id = peewee.TextField(null=True)
    parent_id = peewee.TextField(null=True)
    generation = peewee.BigIntegerField()
    reason = peewee.TextField()
    fuzzy = peewee.IntegerField()
    object_key = peewee.TextField()
    files = peewee.BigIntegerField()
    bytes = peewee.BigIntegerField()
    bytes_sent = peewee.BigIntegerField()
    files_changed = peewee.BigIntegerField(default=0)
    seconds = peewee.DoubleField(default=0)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "snapshots"
