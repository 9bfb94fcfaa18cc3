-- What is told to other systems, once each, as Standard Webhooks.

CREATE TABLE webhook_deliveries (
    id            TEXT PRIMARY KEY,          -- the webhook-id: the same in every try
    tenant_id     TEXT NOT NULL REFERENCES tenants (id),
    subject       TEXT NOT NULL UNIQUE,      -- what is told of: a request's id, or an alert's rule and hour
    target        TEXT NOT NULL CHECK (target IN ('webhook', 'alert')),
    type          TEXT NOT NULL,
    payload       TEXT NOT NULL,
    tries         INTEGER NOT NULL DEFAULT 0,
    next_at       DOUBLE PRECISION,          -- NULL: delivered, or given up
    delivered_at  DOUBLE PRECISION,
    error         TEXT,
    created_at    DOUBLE PRECISION NOT NULL
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE next_at IS NOT NULL;
