"""Idempotency-Keys of POSTs: one row per principal, route and key. What HTTP makes of it is in `web.keys`.

A key is taken before the work begins. What the work makes is named in the row by the very transaction that makes it
(`record`), so that a crash before the answer was stored can never make it twice. Who holds a key that is in flight is
written with it: a holder that is known to be dead is not waited for. A key holds for a time; used after that it is a new
request's, and rows that nobody will ask for again are deleted (`expiry`).
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app import db
from app.errors import Conflict, Invalid
from app.models import IdempotencyKey


class InFlight(Conflict):
    """Another request holds the key; the same request may be sent again."""

    retryable = True


KEEP_SECONDS = 86_400.0
TAKE_OVER_AFTER_SECONDS = 60
"""A key in flight for this long belongs to nobody, whatever is known of its holder."""


@dataclass(frozen=True, slots=True)
class Key:
    """One use of one key. `body_hash` is of the request in canonical form."""

    tenant_id: str
    user_id: str
    route: str
    value: str
    body_hash: str


@dataclass(frozen=True, slots=True)
class Found:
    """What there is under a key. `fresh`: the caller holds it now and does the work; `stored`: here is the answer;
    `made`: the work was done, its answer was never stored; `in_flight`: another request is at it."""

    state: Literal["fresh", "stored", "made", "in_flight"]
    resource_id: str | None = None
    status_code: int = 0
    answer: Any = None


def take(key: Key, keep_seconds: float = KEEP_SECONDS) -> Found:
    """Take the key or tell what is under it, which counts for `keep_seconds`. Raises Invalid `idempotency_key_reused` where the body
    is another one."""
    with db.transaction():
        now = db.now()
        inserted = (
            IdempotencyKey.insert(
                tenant_id=key.tenant_id,
                user_id=key.user_id,
                route=key.route,
                idem_key=key.value,
                body_hash=key.body_hash,
                answer={"holder": _holder()},
                created_at=now,
            )
            .on_conflict_ignore()
            .as_rowcount()
            .execute()
        )
        if inserted:
            return Found("fresh")
        query = IdempotencyKey.select().where(_is(key))
        row = (query if db.is_sqlite() else query.for_update()).get()
        if row.created_at < now - keep_seconds:
            _begin_anew(key, now)
            return Found("fresh")
        return _look(key, row, now)


def _begin_anew(key: Key, now: float) -> None:
    """What was under the key has had its time."""
    IdempotencyKey.update(
        body_hash=key.body_hash, resource_id=None, status_code=None, answer={"holder": _holder()}, created_at=now
    ).where(_is(key)).execute()


def _look(key: Key, row: IdempotencyKey, now: float) -> Found:
    if row.body_hash != key.body_hash:
        raise Invalid(
            "idempotency_key_reused",
            "This Idempotency-Key was used for a request with another body.",
            remedy="Use a new key for each new request.",
        )
    if row.status_code is not None:
        return Found("stored", row.resource_id, row.status_code, row.answer)
    if _is_held(row, now):
        return Found("in_flight", row.resource_id)
    if row.resource_id is not None:
        return Found("made", row.resource_id)
    IdempotencyKey.update(created_at=now, answer={"holder": _holder()}).where(_is(key)).execute()
    return Found("fresh")


def record(key: Key, resource_id: str) -> None:
    """Name what the request made; called inside the transaction that makes it. Raises Conflict where the key was taken over."""
    changed = (
        IdempotencyKey.update(resource_id=resource_id)
        .where(_is(key), IdempotencyKey.status_code.is_null(), IdempotencyKey.resource_id.is_null())
        .execute()
    )
    if changed != 1:
        raise in_flight()


def settle(key: Key, status_code: int, answer: Any) -> None:
    """Store the answer; every later request with this key gets it."""
    IdempotencyKey.update(status_code=status_code, answer=answer).where(
        _is(key), IdempotencyKey.status_code.is_null()
    ).execute()


def release(key: Key) -> None:
    """The request failed: where nothing was made the key is free again; otherwise the next request answers from what was made."""
    IdempotencyKey.update(answer=None).where(
        _is(key), IdempotencyKey.status_code.is_null(), IdempotencyKey.resource_id.is_null(False)
    ).execute()
    row: Any = IdempotencyKey
    row.delete().where(_is(key), row.status_code.is_null(), row.resource_id.is_null()).execute()


def in_flight() -> InFlight:
    """Return the error for a key that another request is at work on."""
    return InFlight(
        "idempotency_in_flight",
        "Another request with this Idempotency-Key is being worked on.",
        remedy="Send the same request again in a moment to get its answer.",
    )


def _is(key: Key) -> Any:
    return (
        (IdempotencyKey.tenant_id == key.tenant_id)
        & (IdempotencyKey.user_id == key.user_id)
        & (IdempotencyKey.route == key.route)
        & (IdempotencyKey.idem_key == key.value)
    )


# --- who holds a key -----------------------------------------------------------------------------------------------------


def _holder() -> str:
    return f"{socket.gethostname()} {os.getpid()} {_born(os.getpid())}"


def _is_held(row: IdempotencyKey, now: float) -> bool:
    if row.created_at < now - TAKE_OVER_AFTER_SECONDS:
        return False
    if row.answer is None:
        return False
    host, pid, born = str(row.answer["holder"]).split(" ")
    return host != socket.gethostname() or _born(int(pid)) == born


def _born(pid: int) -> str:
    """Return the start time of a process in clock ticks (field 22 of /proc/PID/stat), which no later process of that id shares."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except OSError:
        return ""
