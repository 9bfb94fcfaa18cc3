-- Calls of models that went through the model proxy: one row each, what it used as far as the model's side told it.

CREATE TABLE model_calls (
    id             TEXT PRIMARY KEY,
    tenant_id      TEXT NOT NULL REFERENCES tenants (id),
    run_id         TEXT NOT NULL REFERENCES agent_runs (id),
    attempt        INTEGER NOT NULL,
    protocol       TEXT NOT NULL CHECK (protocol IN ('messages', 'responses', 'chat')),
    model          TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN (
                       'open',                  -- -> ended, cut, lost
                       'ended',                 -- the answer came to its end, good or bad: see http_status
                       'cut',                   -- the agent went away, or the model's side did, in the middle
                       'lost')),                -- the proxy died with it
    holder         TEXT NOT NULL,               -- the proxy process that serves it, named as in leases
    http_status    INTEGER,                     -- of the model's side; NULL: it gave no answer
    input          BIGINT NOT NULL DEFAULT 0,
    output         BIGINT NOT NULL DEFAULT 0,   -- reasoning included
    cache_read     BIGINT NOT NULL DEFAULT 0,
    cache_write_5m BIGINT NOT NULL DEFAULT 0,
    cache_write_1h BIGINT NOT NULL DEFAULT 0,
    reasoning      BIGINT NOT NULL DEFAULT 0,
    cost_usd       DOUBLE PRECISION,            -- NULL: the model has no price
    most_tokens    BIGINT,                      -- while open: what it may come to at most; NULL: nobody knows
    most_usd       DOUBLE PRECISION,
    started_at     DOUBLE PRECISION NOT NULL,
    ended_at       DOUBLE PRECISION
);
CREATE INDEX model_calls_by_run ON model_calls (run_id, attempt);
CREATE INDEX model_calls_by_tenant ON model_calls (tenant_id, started_at);
CREATE INDEX model_calls_open ON model_calls (holder) WHERE state = 'open';
