-- Deadlines of requests, the worker processes that an operator may drain, and what a run's log leaves when it is let go of.

CREATE TABLE policies (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    scope       TEXT NOT NULL CHECK (scope IN ('tenant', 'session')),
    scope_id    TEXT NOT NULL,               -- the tenant's id, or the session's
    rules       TEXT NOT NULL,               -- JSON {deadlineSeconds?, onDeadline?}; what is absent is the wider scope's
    updated_by  TEXT NOT NULL,
    updated_at  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant_id, scope, scope_id)
);

ALTER TABLE human_loop_requests ADD COLUMN on_deadline TEXT NOT NULL DEFAULT 'keep'
    CHECK (on_deadline IN ('keep', 'deny')); -- of the policy when it was asked; keep: it stays open, however late
CREATE INDEX human_loop_requests_due ON human_loop_requests (deadline_at) WHERE status = 'open' AND on_deadline = 'deny';

-- Processes belong to the installation, not to a tenant.
CREATE TABLE worker_processes (
    name        TEXT PRIMARY KEY,            -- host:pid:four random bytes, as in leases
    kind        TEXT NOT NULL CHECK (kind IN ('runs', 'maintenance')),
    host        TEXT NOT NULL,
    pid         INTEGER NOT NULL,
    state       TEXT NOT NULL CHECK (state IN (
                    'ready',                 -- -> draining
                    'draining',              -- -> drained, ready
                    'drained')),             -- -> ready
    running     INTEGER NOT NULL DEFAULT 0,  -- what it has in hand
    started_at  DOUBLE PRECISION NOT NULL,
    seen_at     DOUBLE PRECISION NOT NULL
);

ALTER TABLE agent_runs ADD COLUMN log_removed_at DOUBLE PRECISION; -- retention: its events are gone, its row stays
CREATE INDEX agent_runs_ended ON agent_runs (finished_at) WHERE finished_at IS NOT NULL AND log_removed_at IS NULL;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX login_links_by_age ON login_links (expires_at);
CREATE INDEX web_sessions_by_age ON web_sessions (expires_at);
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (created_at);
