"""Fixtures that every suite shares: a real Redis, and a fresh migrated database on SQLite and on PostgreSQL.

A part that is missing on a laptop skips its tests; in CI (`CI` is set) it fails them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from app import db
from tests.support import capability_table, verdicts
from tests.support.model_server import ModelServer
from tests.support.postgres import PostgresMissing, PostgresServer, postgres_server
from tests.support.redis import RedisServer, redis_server
from tests.support.verdicts import figures, pytest_addoption

__all__ = ["figures", "pytest_addoption"]

TEMPLATE = "paddock_template"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    verdicts.pytest_collection_modifyitems(config, items)
    capability_table.note(items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    verdicts.pytest_runtest_logreport(report)
    capability_table.take(report)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    capability_table.show(terminalreporter)
    verdicts.pytest_terminal_summary(terminalreporter, config)


def missing(reason: str) -> None:
    """Skip on a laptop, fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    """A scripted model server, for all protocols that agents speak."""
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """One server for the whole session of tests. Use `redis` or `redis_url`, which empty it first."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """An empty Redis; `redis.client(db)` connects, `redis.url` names it."""
    shared_redis.flush()
    return shared_redis


@pytest.fixture
def redis_url(redis: RedisServer) -> str:
    return redis.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server that this test alone uses and may kill (`stop`, `restart`)."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file that each test copies."""
    path = tmp_path_factory.mktemp("template") / "paddock.sqlite3"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server with a migrated template database."""
    try:
        with postgres_server() as server:
            template = f"{TEMPLATE}_{uuid.uuid4().hex[:8]}"
            _migrate(server.create(template))
            server.template = template
            yield server
            server.drop(template)
    except PostgresMissing as error:
        missing(str(error))


@pytest.fixture
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Make any number of fresh migrated databases: `new_database_url("sqlite" | "postgres")` returns a URL."""
    names: list[str] = []

    def make(engine: str) -> str:
        name = f"t_{uuid.uuid4().hex[:16]}"
        if engine == "sqlite":
            path = tmp_path / f"{name}.sqlite3"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            return f"sqlite:///{path}"
        server: PostgresServer = request.getfixturevalue("postgres")
        names.append(name)
        return server.create(name, server.template)

    yield make
    for name in names:
        request.getfixturevalue("postgres").drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, new_database_url: Callable[[str], str]) -> str:
    """The URL of a fresh migrated database, once per engine.

    One engine only: `@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)`.
    """
    return new_database_url(request.param)


@pytest.fixture
def database(database_url: str) -> Iterator[peewee.Database]:
    """A fresh migrated database, bound to the models."""
    opened = db.connect(database_url)
    db.bind(opened)
    yield opened
    _close(opened)


def _migrate(url: str) -> None:
    opened = db.connect(url)
    db.migrate(opened)
    _close(opened)


def _close(opened: peewee.Database) -> None:
    if hasattr(opened, "close_all"):
        opened.close_all()
    elif not opened.is_closed():
        opened.close()
