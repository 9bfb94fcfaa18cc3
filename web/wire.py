"""Reading requests and writing answers: content types, JSON, and the two bases of all pydantic models on the wire.

Strict on what comes in: unknown fields are named and refused, nothing is guessed from a wrong content type.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from flask import Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from app.errors import Invalid
from web.errors import BadRequest, UnsupportedMediaType

JSON = "application/json"
LONGEST_VALUE = 4096
"""Characters of one query parameter."""


class Given(BaseModel):
    """What callers send: camelCase, nothing unknown, no silent conversion between types."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class Asked(BaseModel):
    """The query of an address: as `Given`, but the values are text and are read as what they stand for."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Shown(BaseModel):
    """What we answer: camelCase. A field with a default is left out where it has that default; one without is always there."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_defaults=True).encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with another status than 200, or with headers."""

    body: Shown | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


M = TypeVar("M", bound=BaseModel)


def json_response(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(body, status=status, headers=dict(headers or {}), content_type=JSON)


def revalidated(response: Response, request: Request) -> Response:
    """Name the answer by its content; leave it out where the caller has it already (304)."""
    response.set_etag(hashlib.sha256(response.get_data()).hexdigest()[:32])
    response.make_conditional(request)
    return response


def read_query(model: type[M], request: Request) -> M:
    """Return the query; raises Invalid naming what is wrong, or BadRequest for what cannot be text."""
    values: dict[str, str] = {}
    for name, given in request.args.lists():
        if len(given) > 1:
            raise _invalid([{"field": name[:100], "message": "Given more than once."}])
        if "\0" in given[0] or len(given[0]) > LONGEST_VALUE:
            raise _invalid([{"field": name[:100], "message": "Not a value that can be taken."}])
        values[name] = given[0]
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        raise _of_validation(error) from None


def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body, `{}` for no body at all."""
    if request.mimetype != JSON:
        if not request.mimetype and not request.content_length and not request.headers.get("Transfer-Encoding"):
            return {}
        raise UnsupportedMediaType("unsupported_media_type", "The body must be application/json.")
    raw = request.get_data(cache=False)
    if request.content_length is None:
        request.stream.read(1)  # a body without a length is cut at the limit; reading on raises RequestEntityTooLarge
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("body_malformed", "The body is not well-formed JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise BadRequest("body_malformed", "The body must be one JSON object.")
    if b"\\u0000" in raw and _has_nul(value):
        raise _invalid([{"field": "", "message": "A text holds the character NUL."}])
    return value


def validate(model: type[M], value: dict[str, Any]) -> M:
    """Return the body as its model; raises Invalid `validation_failed` with one entry per field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _of_validation(error) from None


def _of_validation(error: ValidationError) -> Invalid:
    """Name fields and rules; what was sent is not repeated, it may be a secret."""
    entries = []
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        message = "Unknown field." if each["type"] == "extra_forbidden" else each["msg"]
        entries.append({"field": ".".join(str(part) for part in each["loc"])[:200], "message": message})
    return _invalid(entries[:50])


def _invalid(errors: list[dict[str, str]]) -> Invalid:
    names = ", ".join(sorted({each["field"] for each in errors if each["field"]})[:5])
    message = (
        f"These fields cannot be taken as they are: {names}." if names else "The request cannot be taken as it is."
    )
    return Invalid("validation_failed", message, errors=errors)


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(each) for key, each in value.items())
    return isinstance(value, list) and any(_has_nul(each) for each in value)
