"""What tests of the model proxy share: its process, and the people whose runs call through it. Other modules have their own of these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

from app.config import Settings
from tests.cast import Cast, assemble
from tests.support.model_proxy import Proxy, proxying
from tests.support.model_server import ModelServer
from tests.support.web import settings_of


@pytest.fixture
def settings(tmp_path: Path, database_url: str, redis_url: str) -> Settings:
    return settings_of(tmp_path / "var", database_url, redis_url)


@pytest.fixture
def people(settings: Settings, database: peewee.Database) -> Cast:
    return assemble()


@pytest.fixture
def proxy(settings: Settings, model: ModelServer) -> Iterator[Proxy]:
    with proxying(settings, model.url) as running:
        yield running
