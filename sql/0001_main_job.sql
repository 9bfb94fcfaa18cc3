-- The first schema. Times are POSIX seconds (UTC), compared with the database's own clock; JSON is text.
-- Runs on SQLite and PostgreSQL alike.

CREATE TABLE tenants (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    created_at  DOUBLE PRECISION NOT NULL
);

CREATE TABLE users (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    name        TEXT NOT NULL,
    disabled_at DOUBLE PRECISION,
    created_at  DOUBLE PRECISION NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE user_role_bindings (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    user_id     TEXT NOT NULL REFERENCES users (id),
    role        TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'member', 'viewer')),
    created_at  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant_id, user_id, role)
);

CREATE TABLE api_tokens (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    user_id      TEXT NOT NULL REFERENCES users (id),
    name         TEXT NOT NULL,
    prefix       TEXT NOT NULL,            -- the first characters, shown so that people know which token it is
    token_hash   TEXT NOT NULL UNIQUE,     -- SHA-256; the token itself is shown once and kept nowhere
    created_at   DOUBLE PRECISION NOT NULL,
    last_used_at DOUBLE PRECISION,
    expires_at   DOUBLE PRECISION,
    revoked_at   DOUBLE PRECISION
);
CREATE INDEX api_tokens_by_user ON api_tokens (tenant_id, user_id);

CREATE TABLE login_links (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    user_id     TEXT NOT NULL REFERENCES users (id),
    code_hash   TEXT NOT NULL UNIQUE,
    created_at  DOUBLE PRECISION NOT NULL,
    expires_at  DOUBLE PRECISION NOT NULL,
    used_at     DOUBLE PRECISION           -- set once, by the conditional UPDATE that logs in
);

CREATE TABLE web_sessions (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    user_id      TEXT NOT NULL REFERENCES users (id),
    secret_hash  TEXT NOT NULL UNIQUE,
    csrf_token   TEXT NOT NULL,
    created_at   DOUBLE PRECISION NOT NULL,
    last_seen_at DOUBLE PRECISION NOT NULL,
    expires_at   DOUBLE PRECISION NOT NULL,
    ended_at     DOUBLE PRECISION
);

CREATE TABLE bundles (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    user_id     TEXT NOT NULL REFERENCES users (id),
    object_key  TEXT NOT NULL,
    size        BIGINT NOT NULL,
    sha256      TEXT NOT NULL,
    created_at  DOUBLE PRECISION NOT NULL
);

CREATE TABLE chat_sessions (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    user_id      TEXT NOT NULL REFERENCES users (id),
    title        TEXT NOT NULL DEFAULT '',
    provider     TEXT NOT NULL,
    model        TEXT,
    repo_url     TEXT,
    repo_ref     TEXT,
    bundle_id    TEXT REFERENCES bundles (id),
    last_seq     BIGINT NOT NULL DEFAULT 0,  -- the session_seq given last, under this row's lock
    created_at   DOUBLE PRECISION NOT NULL,
    updated_at   DOUBLE PRECISION NOT NULL,
    archived_at  DOUBLE PRECISION
);
CREATE INDEX chat_sessions_by_user ON chat_sessions (tenant_id, user_id, updated_at);

CREATE TABLE session_workers (
    session_id       TEXT PRIMARY KEY REFERENCES chat_sessions (id),
    tenant_id        TEXT NOT NULL REFERENCES tenants (id),
    status           TEXT NOT NULL CHECK (status IN (
                         'created',   -- -> starting
                         'starting',  -- -> running
                         'running',   -- -> stopping
                         'stopping',  -- -> stopped, or running again when the sync failed
                         'stopped',   -- -> starting, removing
                         'removing',  -- -> deleted
                         'deleted',   -- -> starting
                         'error')),   -- from any; -> starting
    generation       BIGINT NOT NULL DEFAULT 0,  -- new at each start of a sandbox
    last_sync_status TEXT NOT NULL DEFAULT 'never' CHECK (last_sync_status IN ('never', 'pending', 'succeeded', 'failed')),
    last_sync_error  TEXT,
    last_sync_at     DOUBLE PRECISION,
    snapshot_id      TEXT,
    baseline         TEXT,                        -- the commit that the workspace was seeded with, which diffs start from
    receipt          TEXT,                        -- JSON {generation, startedAt, snapshotId}: the proof of a save after the last write
    wish             TEXT CHECK (wish IN ('activate', 'stop', 'sync', 'remove')),
    wish_at          DOUBLE PRECISION,
    wish_error       TEXT,
    lease_owner      TEXT,
    lease_until      DOUBLE PRECISION,
    lease_epoch      BIGINT NOT NULL DEFAULT 0,
    error            TEXT,
    last_used_at     DOUBLE PRECISION NOT NULL,
    started_at       DOUBLE PRECISION,
    stopped_at       DOUBLE PRECISION,
    created_at       DOUBLE PRECISION NOT NULL
);
CREATE INDEX session_workers_by_status ON session_workers (tenant_id, status, last_used_at);
CREATE INDEX session_workers_by_wish ON session_workers (wish_at) WHERE wish IS NOT NULL;

CREATE TABLE snapshots (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    session_id  TEXT NOT NULL REFERENCES chat_sessions (id),
    run_id      TEXT,
    parent_id   TEXT,
    generation  BIGINT NOT NULL,
    reason      TEXT NOT NULL,
    fuzzy       INTEGER NOT NULL CHECK (fuzzy IN (0, 1)),
    object_key  TEXT NOT NULL,
    files       BIGINT NOT NULL,
    bytes       BIGINT NOT NULL,
    bytes_sent  BIGINT NOT NULL,
    files_changed BIGINT NOT NULL DEFAULT 0,
    seconds     DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at  DOUBLE PRECISION NOT NULL
);
CREATE INDEX snapshots_by_session ON snapshots (tenant_id, session_id, created_at);
CREATE INDEX snapshots_by_run ON snapshots (run_id);

CREATE TABLE agent_runs (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL REFERENCES tenants (id),
    session_id        TEXT NOT NULL REFERENCES chat_sessions (id),
    user_id           TEXT NOT NULL REFERENCES users (id),
    session_seq       BIGINT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN (
                          'queued',         -- -> claimed, canceled
                          'claimed',        -- -> running, queued, blocked, failed, canceled
                          'running',        -- -> waiting_human, queued, succeeded, failed, canceled
                          'waiting_human',  -- -> running, queued, failed, canceled
                          'succeeded', 'failed', 'canceled', 'blocked')), -- terminal: never change
    provider          TEXT NOT NULL,
    model             TEXT,
    prompt            TEXT NOT NULL,
    options           TEXT NOT NULL DEFAULT '{}',
    required          TEXT NOT NULL DEFAULT '[]',   -- capabilities the run cannot do without
    priority          INTEGER NOT NULL DEFAULT 0,   -- orders sessions, never runs within one
    attempt           INTEGER NOT NULL DEFAULT 0,
    failures          INTEGER NOT NULL DEFAULT 0,
    deaths            INTEGER NOT NULL DEFAULT 0,   -- those of them in which worker or executor died
    retry_at          DOUBLE PRECISION,
    epoch             BIGINT NOT NULL DEFAULT 0,
    lease_owner       TEXT,
    lease_until       DOUBLE PRECISION,             -- NULL: handed back, free to claim
    lease_seq         BIGINT NOT NULL DEFAULT 0,    -- last_seq when the lease was taken
    last_seq          BIGINT NOT NULL DEFAULT 0,
    launch            TEXT,                         -- JSON: how the current attempt was started, the same for every holder
    conversation_id   TEXT,                         -- the agent's own name of the conversation, for native resume
    stop_requested_at DOUBLE PRECISION,
    failure_code      TEXT,
    failure_class     TEXT,
    failure_message   TEXT,
    remedy            TEXT,
    retryable         INTEGER CHECK (retryable IN (0, 1)),
    stop_reason       TEXT,
    usage             TEXT NOT NULL DEFAULT '{}',
    message           TEXT,                         -- the final text
    trace_id          TEXT NOT NULL,
    created_at        DOUBLE PRECISION NOT NULL,
    claimed_at        DOUBLE PRECISION,
    started_at        DOUBLE PRECISION,
    waiting_since     DOUBLE PRECISION,
    finished_at       DOUBLE PRECISION,
    stream_closed_at  DOUBLE PRECISION,             -- the sealed log is in Redis too and its stream expires
    UNIQUE (session_id, session_seq),
    CHECK ((finished_at IS NOT NULL) = (status IN ('succeeded', 'failed', 'canceled', 'blocked')))
);
CREATE UNIQUE INDEX one_active_run_per_session ON agent_runs (session_id)
    WHERE status IN ('claimed', 'running', 'waiting_human');
CREATE INDEX agent_runs_open ON agent_runs (priority, id) WHERE finished_at IS NULL;
CREATE INDEX agent_runs_of_session ON agent_runs (tenant_id, session_id, session_seq);
CREATE INDEX agent_runs_by_tenant ON agent_runs (tenant_id, id);
CREATE INDEX agent_runs_unclosed ON agent_runs (finished_at) WHERE finished_at IS NOT NULL AND stream_closed_at IS NULL;

CREATE VIEW run_queue AS
    SELECT id AS run_id, tenant_id, session_id, session_seq, status, priority, attempt, failures, retry_at,
           epoch, lease_owner, lease_until, created_at
    FROM agent_runs
    WHERE finished_at IS NULL;

CREATE TABLE run_events (
    run_id     TEXT NOT NULL REFERENCES agent_runs (id),
    seq        BIGINT NOT NULL,
    tenant_id  TEXT NOT NULL,
    type       TEXT NOT NULL,
    ts         DOUBLE PRECISION NOT NULL,
    src        TEXT NOT NULL,               -- <attempt>:<journal record>, '-' where the driver made the event itself
    data       TEXT NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE run_commands (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    run_id      TEXT NOT NULL REFERENCES agent_runs (id),
    command_key TEXT NOT NULL,
    kind        TEXT NOT NULL CHECK (kind IN ('stop', 'answer', 'steer', 'expire', 'external')),
    payload     TEXT NOT NULL,
    created_at  DOUBLE PRECISION NOT NULL,
    applied_seq BIGINT,                     -- the run's last_seq when it took effect; NULL: not yet
    UNIQUE (run_id, command_key)
);
CREATE INDEX run_commands_unapplied ON run_commands (run_id) WHERE applied_seq IS NULL;

CREATE TABLE human_loop_requests (
    id            TEXT PRIMARY KEY,
    tenant_id     TEXT NOT NULL REFERENCES tenants (id),
    run_id        TEXT NOT NULL REFERENCES agent_runs (id),
    session_id    TEXT NOT NULL REFERENCES chat_sessions (id),
    attempt       INTEGER NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('question', 'approval')),
    title         TEXT NOT NULL,
    tool_call     TEXT,
    questions     TEXT,
    options       TEXT NOT NULL DEFAULT '[]',
    status        TEXT NOT NULL CHECK (status IN (
                      'open',         -- -> answered, expired, superseded, canceled
                      'answered',     -- -> superseded, when the agent withdrew before the answer reached it
                      'expired', 'superseded', 'canceled')),
    reply         TEXT,
    replied_by    TEXT,
    answered_at   DOUBLE PRECISION,
    delivered_at  DOUBLE PRECISION,          -- the agent's receipt
    delivery      TEXT CHECK (delivery IN ('live', 'resumed')),
    deadline_at   DOUBLE PRECISION,
    created_at    DOUBLE PRECISION NOT NULL,
    closed_at     DOUBLE PRECISION
);
CREATE INDEX human_loop_requests_by_status ON human_loop_requests (tenant_id, status, created_at);
CREATE INDEX human_loop_requests_by_run ON human_loop_requests (run_id);

CREATE TABLE todo (
    run_id      TEXT PRIMARY KEY REFERENCES agent_runs (id),
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    items       TEXT NOT NULL,               -- the whole list as the agent gave it last
    seq         BIGINT NOT NULL,             -- of the todo.update it came with
    updated_at  DOUBLE PRECISION NOT NULL
);

CREATE TABLE usage_logs (
    run_id         TEXT PRIMARY KEY REFERENCES agent_runs (id),
    tenant_id      TEXT NOT NULL REFERENCES tenants (id),
    session_id     TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT,
    input          BIGINT NOT NULL DEFAULT 0,
    output         BIGINT NOT NULL DEFAULT 0,
    cache_read     BIGINT NOT NULL DEFAULT 0,
    cache_write_5m BIGINT NOT NULL DEFAULT 0,
    cache_write_1h BIGINT NOT NULL DEFAULT 0,
    reasoning      BIGINT NOT NULL DEFAULT 0,
    cost_usd       DOUBLE PRECISION NOT NULL DEFAULT 0,
    created_at     DOUBLE PRECISION NOT NULL
);
CREATE INDEX usage_logs_by_tenant ON usage_logs (tenant_id, created_at);

CREATE TABLE idempotency_keys (
    tenant_id   TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    route       TEXT NOT NULL,
    idem_key    TEXT NOT NULL,
    body_hash   TEXT NOT NULL,
    resource_id TEXT,                        -- what the request made, set in the transaction that made it
    status_code INTEGER,                     -- NULL: still in flight
    answer      TEXT,
    created_at  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant_id, user_id, route, idem_key)
);
