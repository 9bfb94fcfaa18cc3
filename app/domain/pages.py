"""Pages of lists: a cursor holds the sort key of the last item seen, so that a page costs the same wherever it lies."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from app.errors import Invalid

T = TypeVar("T")

DEFAULT_LIMIT = 50
HIGHEST_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


def encode(*key: str | float) -> str:
    """Return the cursor of the item with this sort key."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def decode(cursor: str, *types: type) -> tuple[Any, ...]:
    """Return the sort key in a cursor; raises Invalid `cursor_malformed` unless it has values of these types."""
    try:
        key = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise malformed() from None
    if not isinstance(key, list) or [type(part) for part in key] != list(types):
        raise malformed()
    return tuple(key)


def malformed() -> Invalid:
    return Invalid(
        "cursor_malformed",
        "The cursor is not one of ours.",
        remedy="Use the value that an answer or event gave, unchanged, or leave it out.",
    )
