"""The database: connecting, transactions and migrations, for SQLite and PostgreSQL alike. Tables are in `app.models`.

Every write transaction goes through `transaction()`: on SQLite it is `BEGIN IMMEDIATE`, because a plain BEGIN that upgrades
its lock later fails with "database is locked" in spite of any timeout (ARCHITECTURE decision 11).
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import peewee
from playhouse.db_url import parse as parse_url
from playhouse.pool import PooledPostgresqlDatabase, PooledSqliteDatabase

from app.errors import Unavailable

SQL_FOLDER = Path(__file__).resolve().parent.parent / "sql"
LOCK_WAIT_SECONDS = 60
PATIENCE_SECONDS = 5.0
"""How long a PostgreSQL that does not answer is waited for before `Unavailable`."""
_DISK_FULL = ("disk is full", "No space left on device")
"""How SQLite and PostgreSQL say it."""

proxy = peewee.DatabaseProxy()
"""What the models are bound to: one of the two permitted globals (STYLE.md), forced by peewee."""


def connect(url: str) -> peewee.Database:
    """Return the database behind `sqlite:///path` or `postgres(ql)://…`. It connects at the first use, once per thread."""
    scheme = urlparse(url).scheme
    if scheme == "sqlite":
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        pragmas = {
            "journal_mode": "wal",
            "synchronous": "normal",
            "foreign_keys": 1,
            "busy_timeout": LOCK_WAIT_SECONDS * 1000,
        }
        # Pooled too: closing the last connection of a process folds the WAL into the file, some 15 ms each time.
        return PooledSqliteDatabase(
            str(path), max_connections=200, timeout=30, pragmas=pragmas, check_same_thread=False
        )
    if scheme in ("postgres", "postgresql"):
        from app import postgres_wait  # late: only who has a PostgreSQL needs its driver

        postgres_wait.install()
        options = parse_url(url)
        name = options.pop("database")
        return _PatientPostgres(name, max_connections=200, stale_timeout=300, timeout=30, **options)
    raise ValueError(f"DATABASE_URL must begin with sqlite:/// or postgres://, not {scheme}:")


class _PatientPostgres(PooledPostgresqlDatabase):
    """A server that restarts is waited for. Outside a transaction a statement whose connection broke is sent again on a new
    one; such statements are reads, or single conditional UPDATEs that do nothing the second time."""

    def execute_sql(self, sql: str, params: Any = None, **options: Any) -> Any:
        end, pause = time.monotonic() + PATIENCE_SECONDS, 0.02
        while True:
            try:
                return super().execute_sql(sql, params, **options)
            except (peewee.OperationalError, peewee.InterfaceError) as error:
                if self.in_transaction():
                    raise
                _drop_broken_connection(self)
                if time.monotonic() > end:
                    raise Unavailable(
                        "database_unavailable",
                        f"The database does not answer: {error}",
                        remedy="Try again in a moment.",
                    ) from error
            time.sleep(pause)
            pause = min(pause * 2, 0.25)


def bind(database: peewee.Database) -> None:
    """Make the models speak to this database."""
    proxy.initialize(database)


def is_sqlite(database: peewee.Database | None = None) -> bool:
    return isinstance(database or proxy.obj, peewee.SqliteDatabase)


@contextmanager
def transaction() -> Iterator[None]:
    """One write transaction of the bound database: all or nothing. No call to Redis, a sandbox or a store inside."""
    with _transaction_of(cast(peewee.Database, proxy.obj)):
        yield


@contextmanager
def reading() -> Iterator[None]:
    """Reads outside a transaction: Unavailable where the database does not answer, and a fresh connection the next time."""
    database = cast(peewee.Database, proxy.obj)
    try:
        yield
    except (peewee.OperationalError, peewee.InterfaceError) as error:
        if not database.in_transaction():
            _drop_broken_connection(database)
        raise _unavailable("does not answer", error) from error


@contextmanager
def connection() -> Iterator[None]:
    """Give this thread's connection back (to the pool) at the end; the boundary of an actor, a request, a thread."""
    try:
        yield
    finally:
        if not proxy.obj.is_closed() and not proxy.obj.in_transaction():
            proxy.obj.close()


def clock() -> peewee.SQL:
    """The database's own clock in POSIX seconds, as an expression: what leases are compared with."""
    if is_sqlite():
        return peewee.SQL("((julianday('now') - 2440587.5) * 86400.0)")
    return peewee.SQL("EXTRACT(EPOCH FROM clock_timestamp())::double precision")


def now() -> float:
    """The database's own clock, read now."""
    row = proxy.obj.execute(peewee.Select(columns=[clock()])).fetchone()
    return float(row[0])


def check() -> None:
    """Raise Unavailable when the database does not answer."""
    try:
        proxy.obj.execute_sql("SELECT 1").fetchone()
    except peewee.PeeweeException as error:
        raise Unavailable(
            "database_unavailable", "The database does not answer.", remedy="Look at `make status`."
        ) from error


def migrate(database: peewee.Database, only: Collection[str] | None = None) -> list[str]:
    """Apply the migrations of `sql/` (or `only` these of them) that are not applied yet, in order; return their names. Safe to run
    in parallel."""
    suffix = ".sqlite.sql" if is_sqlite(database) else ".postgres.sql"
    applied = []
    with _patience(database), _transaction_of(database):
        if not is_sqlite(database):
            database.execute_sql("SELECT pg_advisory_xact_lock(724011)")
        database.execute_sql("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY)")
        done = {row[0] for row in database.execute_sql("SELECT name FROM schema_migrations").fetchall()}
        for path in _migration_files(suffix):
            name = path.name.split(".")[0]
            if name in done or (only is not None and name not in only):
                continue
            for statement in statements_of(path.read_text(encoding="utf-8")):
                database.execute_sql(statement)
            database.execute_sql(f"INSERT INTO schema_migrations (name) VALUES ('{name}')")  # noqa: S608 - a file name of ours
            applied.append(name)
    return applied


def _patience(database: peewee.Database) -> AbstractContextManager[None]:
    if is_sqlite(database):
        return nullcontext()
    from app import postgres_wait

    return postgres_wait.patience()


def migration_names(*, sqlite: bool) -> list[str]:
    """Return the names of all migrations that this version knows, in order."""
    return [path.name.split(".")[0] for path in _migration_files(".sqlite.sql" if sqlite else ".postgres.sql")]


def statements_of(script: str) -> list[str]:
    """Split a script at its semicolons; comments go first, so they may hold semicolons."""
    bare = re.sub(r"--[^\n]*", "", script)
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def _migration_files(suffix: str) -> list[Path]:
    files = sorted(SQL_FOLDER.glob("[0-9]*.sql"))
    return [path for path in files if path.name.endswith(suffix) or path.name.count(".") == 1]


@contextmanager
def _transaction_of(database: peewee.Database) -> Iterator[None]:
    try:
        if not is_sqlite(database) and not database.in_transaction():
            database.execute_sql("SELECT 1")  # finds out here, where it can be mended, that the connection is gone
        with database.atomic("IMMEDIATE") if is_sqlite(database) else database.atomic():
            yield
    except (peewee.OperationalError, peewee.InterfaceError) as error:
        _drop_broken_connection(database)
        raise _unavailable("did not take the change", error) from error


def _unavailable(what: str, error: BaseException) -> Unavailable:
    """Say why: a full disk hides behind the rollback that SQLite has done already."""
    cause: BaseException | None = error
    while cause is not None:
        if any(words in str(cause) for words in _DISK_FULL):
            remedy = "Make room on the database's disk; work goes on by itself."
            return Unavailable("disk_full", f"The database {what}: its disk is full.", remedy=remedy)
        cause = cause.__context__
    return Unavailable("database_unavailable", f"The database {what}: {error}", remedy="Try again in a moment.")


def _drop_broken_connection(database: peewee.Database) -> None:
    """A connection that the server ended would fail for ever: close it, the next use opens another."""
    if not is_sqlite(database) and not database.is_closed():
        cast(Any, database).manual_close()


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def delete_rows(table: type[peewee.Model], condition: peewee.Expression) -> int:
    """Delete the rows of a table for which a condition holds; return how many they were."""
    return int(peewee.ModelDelete(table).where(condition).execute())
