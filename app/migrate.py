"""`python -m app.migrate`: bring the database up to date and, at the first start, make the tenant and its owner."""

from __future__ import annotations

import os

from app import config, db
from app.config import Settings
from app.services import identity


def prepare(settings: Settings) -> list[str]:
    """Migrate, and write the owner's first API token to `PADDOCK_VAR/owner-token`. Returns the migrations applied."""
    settings.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = db.connect(settings.database)
    db.bind(database)
    applied = db.migrate(database)
    secret = identity.bootstrap(settings.bootstrap_token)
    if secret is not None:
        path = settings.root / "owner-token"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secret.value + "\n")
    return applied


if __name__ == "__main__":
    prepare(config.load())
