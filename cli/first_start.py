"""The database of this machine's installation: migrated, with its tenant and owner, and the owner's token in a file that
only this user can read. Also the operator's way to a login link, without a running server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee

from app import db, migrate
from app.config import Settings
from app.errors import AppError, Unauthenticated, Unavailable
from app.services import identity, redis_check
from cli.errors import CommandFailed
from cli.house import House, address

LOGIN_PATH = "/login"


@contextmanager
def database_of(settings: Settings) -> Iterator[None]:
    """Use the database for the length of the block; CommandFailed where it does not answer."""
    try:
        database = db.connect(settings.database)
        db.bind(database)
        try:
            yield
        finally:
            database.close()
    except (peewee.PeeweeException, OSError, ValueError, AppError) as error:
        raise CommandFailed(
            "The database cannot be used.",
            detail=str(error),
            remedy="Look at DATABASE_URL; a SQLite file needs a disk with room, PostgreSQL must be reachable.",
        ) from error


def prepare(house: House, settings: Settings) -> None:
    """Migrate; at the first start make tenant and owner; see that the owner's token in the file holds."""
    with database_of(settings):
        migrate.prepare(settings)
        if not _holds(house.owner_token):  # the file was lost, or belongs to another database
            owner = identity.find_first_owner()
            if owner is not None:
                write_secret(house.owner_token, identity.create_token(owner, "this machine").value)


def require_fit_redis(settings: Settings) -> None:
    """Raise CommandFailed where the Redis of REDIS_URL would not keep what it is told. One that does not answer is waited for later."""
    if not settings.redis_url:
        return
    from app.adapters.redis_gauge import InfoRedisGauge  # late: only a start needs it

    try:
        redis_check.require_fit(InfoRedisGauge(settings.redis), own=False)
    except Unavailable as unfit:
        raise CommandFailed(
            "Redis cannot be used as it is set up.", detail=unfit.message, remedy=unfit.remedy or ""
        ) from unfit


def login_link(settings: Settings) -> str:
    """Make a link that logs the owner's browser in, once."""
    with database_of(settings):
        owner = identity.find_first_owner()
        if owner is None:
            raise CommandFailed("There is no owner yet.", remedy="Start Paddock first: make up")
        code = identity.create_login_link(owner).value
    return f"{settings.public_url.rstrip('/') or address()}{LOGIN_PATH}?code={code}"


def write_secret(path: Path, value: str) -> None:
    """Write a file that only this user may read, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(value + "\n")
    draft.replace(path)


def _holds(path: Path) -> bool:
    try:
        identity.by_token(path.read_text(encoding="utf-8").strip())
    except (FileNotFoundError, Unauthenticated):
        return False
    return True
