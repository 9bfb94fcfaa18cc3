"""A copy of the whole database at one moment, and putting it back: SQLite by its backup API, PostgreSQL by COPY in one
REPEATABLE READ transaction. Writers go on meanwhile. What a backup is beside SQL is in `backup`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import peewee

from app import db

Engine = Literal["sqlite", "postgres"]

SQLITE_FILE = "paddock.sqlite3"
MIGRATIONS = "schema_migrations"


@dataclass(frozen=True, slots=True)
class TableCopy:
    """One table of PostgreSQL as it was copied; `file` is named after it."""

    name: str
    columns: tuple[str, ...]
    rows: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def file(self) -> str:
        return f"{self.name}.copy"


@dataclass(frozen=True, slots=True)
class SqlCopy:
    """`files` lie in the folder that was given; `schema` names the migrations they have seen; `select` asks the copy itself."""

    engine: Engine
    schema: tuple[str, ...]
    files: tuple[Path, ...]
    tables: tuple[TableCopy, ...]
    select: Callable[[str], Iterator[tuple[Any, ...]]]


@contextmanager
def copied(database: peewee.Database, folder: Path) -> Iterator[SqlCopy]:
    """Copy the database into the folder; within the block `select` sees exactly what was copied."""
    with _of_sqlite(database, folder) if db.is_sqlite(database) else _of_postgres(database, folder) as copy:
        yield copy


@contextmanager
def _of_sqlite(database: peewee.Database, folder: Path) -> Iterator[SqlCopy]:
    path = folder / SQLITE_FILE
    with closing(sqlite3.connect(path)) as copy:
        database.connection().backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        schema = copy.execute(f"SELECT name FROM {MIGRATIONS} ORDER BY name")  # noqa: S608 - a name of ours
        yield SqlCopy("sqlite", _firsts(schema), (path,), (), copy.execute)


@contextmanager
def _of_postgres(database: peewee.Database, folder: Path) -> Iterator[SqlCopy]:
    with db.reading(), database.atomic():
        database.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        tables, files = [], []
        for name in _tables(database):
            columns = _columns(database, name)
            path = folder / f"{name}.copy"
            with path.open("wb") as file, _copying(database) as cursor:
                cursor.copy_expert(f"COPY {_quoted(name)} ({_list(columns)}) TO STDOUT", file)
                tables.append(TableCopy(name, columns, cursor.rowcount))
            files.append(path)
        schema = database.execute_sql(f"SELECT name FROM {MIGRATIONS} ORDER BY name")  # noqa: S608 - a name of ours
        yield SqlCopy("postgres", _firsts(schema), tuple(files), tuple(tables), database.execute_sql)


# --- putting back --------------------------------------------------------------------------------------------------------------


def is_empty(database: peewee.Database) -> bool:
    """True where no installation was ever begun in this database."""
    return "tenants" not in database.get_tables() or database.execute_sql("SELECT 1 FROM tenants").fetchone() is None


def fill_postgres(
    database: peewee.Database, schema: Sequence[str], tables: Sequence[TableCopy], open_file: Callable[[str], BinaryIO]
) -> None:
    """Fill an empty database: the schema as it was, then its rows, then what migrations came since. Call it in a transaction."""
    db.migrate(database, only=schema)
    own = {table.name: table for table in tables if table.name != MIGRATIONS}
    database.execute_sql(f"TRUNCATE {', '.join(map(_quoted, own))}")  # what migrations put there is in the copy
    for table in [own[name] for name in _tables(database) if name in own]:
        with closing(open_file(table.file)) as file, _copying(database) as cursor:
            cursor.copy_expert(f"COPY {_quoted(table.name)} ({_list(table.columns)}) FROM STDIN", file)
    db.migrate(database)


@contextmanager
def _copying(database: peewee.Database) -> Iterator[Any]:
    """Yield a cursor for COPY, whose errors are peewee's as those of every other statement."""
    from app import postgres_wait  # late: only who has a PostgreSQL needs its driver

    with peewee.__exception_wrapper__, postgres_wait.copying(), closing(database.cursor()) as cursor:  # type: ignore[attr-defined] # not in its stubs
        yield cursor


def _tables(database: peewee.Database) -> list[str]:
    """Return the tables in an order in which they can be filled: what is referred to comes first."""
    names = sorted(database.get_tables())
    query = """
        SELECT own.relname, other.relname FROM pg_constraint
        JOIN pg_class own ON own.oid = conrelid JOIN pg_class other ON other.oid = confrelid
        WHERE contype = 'f' AND connamespace = current_schema()::regnamespace"""
    needs: dict[str, set[str]] = {name: set() for name in names}
    for own, other in database.execute_sql(query).fetchall():
        if own != other:
            needs[own].add(other)
    ordered: list[str] = []
    while len(ordered) < len(names):
        ordered += [name for name in names if name not in ordered and needs[name] <= set(ordered)]
    return ordered


def _columns(database: peewee.Database, table: str) -> tuple[str, ...]:
    query = """
        SELECT column_name FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position"""
    return _firsts(database.execute_sql(query, (table,)))


def _firsts(rows: Any) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in rows.fetchall())


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(columns: Sequence[str]) -> str:
    return ", ".join(_quoted(column) for column in columns)
