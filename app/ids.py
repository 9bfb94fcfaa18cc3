"""Ids and clocks' text form: prefixed ULIDs and RFC 3339 times. Nothing here knows what an id stands for."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import UTC, datetime

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32, as the ULID specification has it
_lock = threading.Lock()
_last: tuple[int, int] = (0, 0)


def new_id(prefix: str) -> str:
    """Return `<prefix>_<ULID>`; ids made by one process sort in the order they were made."""
    global _last
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms <= _last[0]:
            stamp, randomness = _last[0], _last[1] + 1
        else:
            stamp, randomness = now_ms, int.from_bytes(os.urandom(10), "big") >> 1
        _last = (stamp, randomness)
    return f"{prefix}_{_encode(stamp, 10)}{_encode(randomness, 16)}"


def derived_id(prefix: str, *parts: object) -> str:
    """Return an id that is the same for the same parts: `<prefix>_` and 26 characters of their SHA-256."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return f"{prefix}_{_encode(int.from_bytes(digest[:16], 'big'), 26)}"


def event_id(run_id: str, seq: int) -> str:
    """Return the id of event `seq` of a run (ARCHITECTURE decision 5)."""
    return f"evt_{run_id}_{seq}"


def _encode(number: int, length: int) -> str:
    characters = []
    for _ in range(length):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return "".join(reversed(characters))


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with milliseconds, as every time on the wire and in SQL is written."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def rfc3339_of(epoch_seconds: float) -> str:
    """Return a POSIX time in seconds as RFC 3339."""
    return rfc3339(datetime.fromtimestamp(epoch_seconds, UTC))


def posix_of(text: str) -> float:
    """Return an RFC 3339 time as POSIX seconds: what `rfc3339_of` was given, if that had milliseconds and no more."""
    return datetime.fromisoformat(text).timestamp()
