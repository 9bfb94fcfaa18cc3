"""The scheduler: ticks, and calls one idempotent sweep each. It decides nothing; two of them do no harm."""
