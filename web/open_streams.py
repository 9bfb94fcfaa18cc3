"""The streams that are open in this process: how many each principal has, and whether what they came with still holds.

A stream outlives the request that was allowed it, so its credential is asked about again every few seconds: one question per
credential, however many streams. A revoked one ends its streams (promise S6: within ten seconds).
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from app import db
from app.domain.permissions import Principal
from app.errors import LimitExceeded, Unavailable
from app.services import identity

RECHECK_SECONDS = 4.0


class Closable(Protocol):
    """What a stream reads from; closing it ends the stream."""

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False, slots=True)
class OpenStream:
    """One open stream."""

    principal: Principal
    source: Closable


class OpenStreams:
    """Counts and watches. Its thread starts with the first stream, so that it may be made before a fork."""

    def __init__(self, most: int, recheck_seconds: float = RECHECK_SECONDS) -> None:
        self._most, self._recheck_seconds = most, recheck_seconds
        self._open: set[OpenStream] = set()
        self._by_user: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._watching = False

    def require_room(self, principal: Principal) -> None:
        """Raise LimitExceeded `too_many_streams` where the principal has as many as he may."""
        if self._by_user[principal.user_id] >= self._most:
            raise LimitExceeded(
                "too_many_streams", f"One principal may have {self._most} open streams.", retry_after_seconds=5
            )

    def enter(self, principal: Principal, source: Closable) -> OpenStream:
        """Count a stream; whoever enters must `leave`."""
        stream = OpenStream(principal, source)
        with self._lock:
            self._open.add(stream)
            self._by_user[principal.user_id] += 1
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="open-streams", daemon=True).start()
        return stream

    def leave(self, stream: OpenStream) -> None:
        """Idempotent."""
        with self._lock:
            if stream in self._open:
                self._open.discard(stream)
                self._by_user[stream.principal.user_id] -= 1

    def count(self) -> int:
        return len(self._open)

    def close_revoked(self) -> int:
        """End the streams whose credential does not hold any more; returns how many."""
        with self._lock:
            streams = list(self._open)
        by_credential = {stream.principal.credential_id: stream.principal for stream in streams}
        try:
            with db.connection(), db.reading():
                lost = {name for name, principal in by_credential.items() if not identity.still_holds(principal)}
        except Unavailable:
            return 0  # cannot be told now: asked again in a moment
        ended = [stream for stream in streams if stream.principal.credential_id in lost]
        for stream in ended:
            stream.source.close()
        return len(ended)

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._recheck_seconds):
            if self._open:
                self.close_revoked()
