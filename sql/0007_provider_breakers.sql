-- Providers that fail (decision 0013): a row as long as a tenant's last attempt with that provider failed for the provider's own fault.

CREATE TABLE provider_breakers (
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    provider     TEXT NOT NULL,
    failures     INTEGER NOT NULL,              -- attempts in a row
    failure_code TEXT NOT NULL,                 -- of the last one
    remedy       TEXT NOT NULL,
    opened_at    DOUBLE PRECISION,              -- NULL: closed, runs start as ever
    trial_at     DOUBLE PRECISION,              -- while open: when one run may start
    trial_run_id TEXT,                          -- the run that was let through last, as long as nothing is known of it
    trials       INTEGER NOT NULL DEFAULT 0,    -- that have failed since it opened
    changed_at   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant_id, provider),
    CHECK ((opened_at IS NULL) = (trial_at IS NULL)),
    CHECK (trial_run_id IS NULL OR opened_at IS NOT NULL)
);
