-- Chats as people see them: what each has read, what was deleted, and indexes for long lists and long logs.

ALTER TABLE chat_sessions ADD COLUMN deleted_at DOUBLE PRECISION; -- hidden for good; its content goes as retention says
CREATE INDEX chat_sessions_in_use ON chat_sessions (tenant_id, updated_at, id)
    WHERE archived_at IS NULL AND deleted_at IS NULL;
CREATE INDEX chat_sessions_in_use_of_user ON chat_sessions (tenant_id, user_id, updated_at, id)
    WHERE archived_at IS NULL AND deleted_at IS NULL;
CREATE INDEX chat_sessions_deleted ON chat_sessions (tenant_id, id) WHERE deleted_at IS NOT NULL;

CREATE TABLE chat_reads (
    tenant_id   TEXT NOT NULL REFERENCES tenants (id),
    user_id     TEXT NOT NULL REFERENCES users (id),
    session_id  TEXT NOT NULL REFERENCES chat_sessions (id),
    read_at     DOUBLE PRECISION NOT NULL,   -- the user has seen what happened until then; never goes back
    PRIMARY KEY (tenant_id, user_id, session_id)
);
INSERT INTO chat_reads (tenant_id, user_id, session_id, read_at) -- what happened before anybody could mark it counts as read
    SELECT c.tenant_id, c.user_id, c.id, COALESCE(MAX(r.finished_at), c.updated_at)
    FROM chat_sessions c LEFT JOIN agent_runs r ON r.session_id = c.id
    GROUP BY c.tenant_id, c.user_id, c.id, c.updated_at;

CREATE INDEX agent_runs_open_of_session ON agent_runs (session_id, session_seq) WHERE finished_at IS NULL;
CREATE INDEX agent_runs_ended_of_session ON agent_runs (session_id, finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX run_events_told ON run_events (run_id, type, seq)
    WHERE type NOT IN ('message.delta', 'thinking.delta', 'tool.output'); -- a log is mostly these three, and needs no index for them

ALTER TABLE human_loop_requests ADD COLUMN tool_call_id TEXT; -- the call that it is about, in the run's log
ALTER TABLE human_loop_requests ADD COLUMN rule TEXT;         -- why it is asked
CREATE INDEX human_loop_requests_by_age ON human_loop_requests (tenant_id, created_at, id);
