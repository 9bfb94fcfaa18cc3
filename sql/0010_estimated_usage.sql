-- Tokens that nobody told: answers that broke off before their usage came, and models that tell none. See app/domain/estimates.py.

ALTER TABLE model_calls ADD COLUMN estimated BIGINT NOT NULL DEFAULT 0;  -- of those in the row
ALTER TABLE usage_logs ADD COLUMN estimated BIGINT NOT NULL DEFAULT 0;
