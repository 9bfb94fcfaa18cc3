"""What all tables share: the database they are bound to, and JSON kept as text."""

from __future__ import annotations

from typing import Any

import orjson
import peewee

from app import db


class JsonField(peewee.TextField):
    """JSON as text: the same bytes on both databases, keys in the order they were given."""

    def db_value(self, value: Any) -> str | None:
        return None if value is None else orjson.dumps(value).decode()

    def python_value(self, value: Any) -> Any:
        return None if value is None else orjson.loads(value)


class Table(peewee.Model):
    """A table of the product."""

    class Meta:
        database = db.proxy
        legacy_table_names = False
