-- Runs that something else executes: who has one, until when it may be silent, and the order in which its callbacks came.

ALTER TABLE agent_runs ADD COLUMN executor_id TEXT;                       -- whom the run is bound to, by the name it gave itself
ALTER TABLE agent_runs ADD COLUMN bind_epoch BIGINT NOT NULL DEFAULT 0;   -- counts the executors that had it; an older one's token is refused
ALTER TABLE agent_runs ADD COLUMN bound_until DOUBLE PRECISION;           -- NULL: our own agents drive it; passed: the executor is given up
ALTER TABLE agent_runs ADD COLUMN arrivals BIGINT NOT NULL DEFAULT 0;     -- the arrival given last, under this row's lock
ALTER TABLE agent_runs ADD COLUMN executor_done_at DOUBLE PRECISION;      -- run.finished was called back: nothing is taken after it
CREATE INDEX agent_runs_bound ON agent_runs (bound_until) WHERE bound_until IS NOT NULL AND finished_at IS NULL;

ALTER TABLE run_commands ADD COLUMN arrival BIGINT;                       -- of what came from an executor: 1, 2, 3, the order of its events

CREATE TABLE run_tokens (
    token_hash  TEXT PRIMARY KEY,            -- SHA-256; the token itself is shown once and kept nowhere
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    run_id      TEXT NOT NULL REFERENCES agent_runs (id),
    bind_epoch  BIGINT NOT NULL,             -- good while this is the run's, and while the run is open
    created_at  DOUBLE PRECISION NOT NULL
);
CREATE INDEX run_tokens_by_run ON run_tokens (tenant_id, run_id);
