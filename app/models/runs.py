"""Runs, their logs, the wishes about them, and what they asked of people."""

from __future__ import annotations

import peewee

from app.models.table import JsonField, Table


class AgentRun(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    session_id = peewee.TextField()
    user_id = peewee.TextField()
    session_seq = peewee.BigIntegerField()
    status = peewee.TextField()
    provider = peewee.TextField()
    model = peewee.TextField(null=True)
    prompt = peewee.TextField()
    options = JsonField(default=dict)
    required = JsonField(default=list)
    priority = peewee.IntegerField(default=0)
    attempt = peewee.IntegerField(default=0)
    failures = peewee.IntegerField(default=0)
    deaths = peewee.IntegerField(default=0)
    retry_at = peewee.DoubleField(null=True)
    epoch = peewee.BigIntegerField(default=0)
    lease_owner = peewee.TextField(null=True)
    lease_until = peewee.DoubleField(null=True)
    lease_seq = peewee.BigIntegerField(default=0)
    last_seq = peewee.BigIntegerField(default=0)
    launch = JsonField(null=True)
    conversation_id = peewee.TextField(null=True)
    stop_requested_at = peewee.DoubleField(null=True)
    failure_code = peewee.TextField(null=True)
    failure_class = peewee.TextField(null=True)
    failure_message = peewee.TextField(null=True)
    remedy = peewee.TextField(null=True)
    retryable = peewee.IntegerField(null=True)
    stop_reason = peewee.TextField(null=True)
    usage = JsonField(default=dict)
    message = peewee.TextField(null=True)
    trace_id = peewee.TextField()
    created_at = peewee.DoubleField()
    claimed_at = peewee.DoubleField(null=True)
    started_at = peewee.DoubleField(null=True)
    waiting_since = peewee.DoubleField(null=True)
    let_go_at = peewee.DoubleField(null=True)
    let_go_record = peewee.BigIntegerField(null=True)
    sandbox_stopped_at = peewee.DoubleField(null=True)
    executor_id = peewee.TextField(null=True)
    bind_epoch = peewee.BigIntegerField(default=0)
    bound_until = peewee.DoubleField(null=True)
    arrivals = peewee.BigIntegerField(default=0)
    executor_done_at = peewee.DoubleField(null=True)
    finished_at = peewee.DoubleField(null=True)
    stream_closed_at = peewee.DoubleField(null=True)
    log_removed_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "agent_runs"


class RunEvent(Table):
    run_id = peewee.TextField()
    seq = peewee.BigIntegerField()
    tenant_id = peewee.TextField()
    type = peewee.TextField()
    ts = peewee.DoubleField()
    src = peewee.TextField()
    data = JsonField()

    class Meta:
        table_name = "run_events"
        primary_key = peewee.CompositeKey("run_id", "seq")


class RunCommand(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    run_id = peewee.TextField()
    command_key = peewee.TextField()
    kind = peewee.TextField()
    payload = JsonField()
    created_at = peewee.DoubleField()
    applied_seq = peewee.BigIntegerField(null=True)
    arrival = peewee.BigIntegerField(null=True)
    outcome = peewee.TextField(null=True)

    class Meta:
        table_name = "run_commands"


class RunToken(Table):
    token_hash = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    run_id = peewee.TextField()
    bind_epoch = peewee.BigIntegerField()
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "run_tokens"


class HumanLoopRequest(Table):
    id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    run_id = peewee.TextField()
    session_id = peewee.TextField()
    attempt = peewee.IntegerField()
    kind = peewee.TextField()
    title = peewee.TextField()
    tool_call = JsonField(null=True)
    tool_call_id = peewee.TextField(null=True)
    rule = peewee.TextField(null=True)
    questions = JsonField(null=True)
    options = JsonField(default=list)
    status = peewee.TextField()
    reply = JsonField(null=True)
    replied_by = peewee.TextField(null=True)
    answered_at = peewee.DoubleField(null=True)
    delivered_at = peewee.DoubleField(null=True)
    delivery = peewee.TextField(null=True)
    deadline_at = peewee.DoubleField(null=True)
    on_deadline = peewee.TextField(default="keep")
    created_at = peewee.DoubleField()
    closed_at = peewee.DoubleField(null=True)

    class Meta:
        table_name = "human_loop_requests"


class Todo(Table):
    run_id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    items = JsonField()
    seq = peewee.BigIntegerField()
    updated_at = peewee.DoubleField()

    class Meta:
        table_name = "todo"


class UsageLog(Table):
    run_id = peewee.TextField(primary_key=True)
    tenant_id = peewee.TextField()
    session_id = peewee.TextField()
    user_id = peewee.TextField()
    provider = peewee.TextField()
    model = peewee.TextField(null=True)
    input = peewee.BigIntegerField(default=0)
    output = peewee.BigIntegerField(default=0)
    cache_read = peewee.BigIntegerField(default=0)
    cache_write_5m = peewee.BigIntegerField(default=0)
    cache_write_1h = peewee.BigIntegerField(default=0)
    reasoning = peewee.BigIntegerField(default=0)
    estimated = peewee.BigIntegerField(default=0)
    cost_usd = peewee.DoubleField(default=0)
    created_at = peewee.DoubleField()

    class Meta:
        table_name = "usage_logs"
