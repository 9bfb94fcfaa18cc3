"""What several nouns share: times on the wire, pages, how long a caller waits."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar, cast

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from app import ids
from app.domain import pages
from web.wire import Asked, Given, Shown

T = TypeVar("T")

Id = Annotated[str, Field(min_length=1, max_length=128)]
HIGHEST_SEQ = 2**53 - 1


ToolKind = Literal["read", "edit", "execute", "search", "fetch", "think", "other"]


class ShownAs:
    """Describes plain JSON by a model: what comes from a log or an agent is told as it is, and its form is documented."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.any_schema()

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        listed = handler(core_schema.list_schema(TypeAdapter(self._model).core_schema))
        return cast(
            JsonSchemaValue, listed["items"]
        )  # in a list a model is named; by itself it would be written out in place


class PageOf(Shown, Generic[T]):
    """A page of a list."""

    items: list[T]
    next_cursor: str | None


class PageQuery(Asked):
    cursor: str | None = None
    limit: int = Field(pages.DEFAULT_LIMIT, ge=1, le=pages.HIGHEST_LIMIT)


class WaitQuery(Asked):
    """How long to wait for a long action before answering 202."""

    timeout_ms: int | None = Field(None, ge=0, le=60_000)


class WaitBody(Given):
    timeout_ms: int = Field(10_000, ge=0, le=60_000)


class Problem(Shown):
    """RFC 9457; codes are listed at /openapi."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    retryable: bool
    remedy: str
    errors: list[dict[str, Any]] | None = None


class Done(Shown):
    """It is done."""

    ok: bool


def when(seconds: float | None) -> str | None:
    """Return a POSIX time as the wire has it."""
    return None if seconds is None else ids.rfc3339_of(seconds)
