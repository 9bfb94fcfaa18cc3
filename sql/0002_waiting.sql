-- A run that waits for a person needs no worker, and after a while no sandbox (ARCHITECTURE decision 8).

ALTER TABLE agent_runs ADD COLUMN let_go_at DOUBLE PRECISION;          -- its holder let go: only a command, or news in the journal, makes it claimable
ALTER TABLE agent_runs ADD COLUMN let_go_record BIGINT;                -- the journal was read up to this record
ALTER TABLE agent_runs ADD COLUMN sandbox_stopped_at DOUBLE PRECISION; -- its agent is gone; the answer starts a new attempt
CREATE INDEX agent_runs_let_go ON agent_runs (waiting_since) WHERE let_go_at IS NOT NULL;
