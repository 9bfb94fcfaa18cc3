"""The Idempotency-Key of a POST as HTTP has it: read, taken, answered again. The rows are `app.services.idempotency`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Request, Response

from app import db
from app.domain.permissions import Principal
from app.services import idempotency
from web.errors import BadRequest
from web.wire import json_response

HEADER = "Idempotency-Key"
REPLAYED = {"Idempotent-Replay": "true"}
PATIENCE_SECONDS = 2.0
"""How long a request waits for another one with the same key before it is told to come back."""

_FORM = re.compile(r"[\x21-\x7e]{1,255}\Z")


@dataclass(frozen=True, slots=True)
class Held:
    """The key of the request at work. A view that makes something calls `record` inside the transaction that makes it."""

    key: idempotency.Key

    def record(self, resource_id: str) -> None:
        idempotency.record(self.key, resource_id)

    def settle(self, response: Response) -> None:
        """Store an answer before it is sent, as a stream must; otherwise it is stored when the view returns."""
        store(self.key, response, hide=())


def key_of(request: Request, principal: Principal, body: object) -> idempotency.Key:
    """Read the header; raises BadRequest. The route is the address itself: a key is good for one object."""
    value = request.headers.get(HEADER)
    if value is None:
        raise BadRequest("idempotency_key_missing", "A POST with an effect must carry an Idempotency-Key.")
    if not _FORM.match(value):
        raise BadRequest("idempotency_key_malformed", "The Idempotency-Key must be 1 to 255 printable characters.")
    canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(canonical + b"\0" + request.query_string).hexdigest()
    return idempotency.Key(principal.tenant_id, principal.user_id, f"POST {request.path}", value, digest)


def take(key: idempotency.Key, keep_seconds: float = idempotency.KEEP_SECONDS) -> idempotency.Found:
    """Take the key, waiting a little for another request that is at it; raises Conflict `idempotency_in_flight` then."""
    end = time.monotonic() + PATIENCE_SECONDS
    pause = 0.01
    while True:
        found = idempotency.take(key, keep_seconds)
        if found.state != "in_flight":
            return found
        if time.monotonic() > end:
            raise idempotency.in_flight()
        with db.connection():
            pass  # nothing is held while waiting
        time.sleep(pause)
        pause = min(pause * 2, 0.2)


def replay(found: idempotency.Found) -> Response:
    """Return the stored answer again."""
    stored = found.answer
    return json_response(stored["body"].encode(), found.status_code, {**stored.get("headers", {}), **REPLAYED})


def guarded(key: idempotency.Key, work: Callable[[], Response], hide: tuple[str, ...]) -> Response:
    """Do the work under the key: store its answer, or free the key where it failed before it made anything."""
    try:
        response = work()
    except BaseException:
        idempotency.release(key)
        raise
    if not response.is_streamed:
        store(key, response, hide=hide)
    return response


def store(key: idempotency.Key, response: Response, *, hide: tuple[str, ...]) -> None:
    """Store an answer; `hide` names secrets that are shown once and kept nowhere, so a replay lacks them."""
    body = response.get_data(as_text=True)
    if hide:
        content: dict[str, Any] = orjson.loads(body)
        body = orjson.dumps({name: value for name, value in content.items() if name not in hide}).decode()
    location = response.headers.get("Location")
    idempotency.settle(key, response.status_code, {"body": body, "headers": {"Location": location} if location else {}})
