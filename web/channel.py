"""What one web process keeps of one run that has clients: the events that were appended last, decoded and rendered once for all."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from app.domain.events import Event, EventType

EVENT_BYTES = 512
"""What an event costs beyond its text, about."""


class Batch:
    """Consecutive events, the same object for all clients that get them. Immutable but for what was rendered of it."""

    __slots__ = ("_rendered", "events", "first", "last", "size")

    def __init__(self, events: Sequence[Event], size: int = 0) -> None:
        self.events = tuple(events)
        self.first, self.last = self.events[0].seq, self.events[-1].seq
        self.size = size + len(self.events) * EVENT_BYTES
        self._rendered: dict[str, bytes] = {}

    def after(self, seq: int) -> Batch:
        """Return what of it comes after `seq`; something must."""
        return self if seq < self.first else Batch(self.events[seq - self.first + 1 :], self.size)

    def rendered(self, form: str, render: Callable[[Sequence[Event]], bytes]) -> bytes:
        """Return the events in a wire form; `render` is called once for all clients. `form` names all that it depends on."""
        found = self._rendered.get(form)
        if found is None:
            found = self._rendered[form] = render(self.events)
        return found

    @property
    def closes(self) -> bool:
        return self.events[-1].type == EventType.RUN_CLOSED


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while, or something did: the connection lives. `last` is the last seq the client has."""

    last: int


@dataclass(frozen=True, slots=True)
class Reset:
    """The client's cursor is beyond the log: what follows is the log from 1."""

    cursor: int


_last_of = attrgetter("last")


class Follower(Protocol):
    """Who gets a channel's events. `cursor` is the last seq that it has; `beat` is set for it to say that it lives."""

    cursor: int
    beat: bool

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Channel:
    """One run that has clients here. Writing takes a lock, reading does not: whatever a reader sees meanwhile, it finds its next
    events, or reads the log for them, or is woken again."""

    def __init__(self, run_id: str, subscribed: threading.Event) -> None:
        self.run_id, self.subscribed = run_id, subscribed
        self.subscriptions: set[Follower] = set()
        self.reading = threading.Lock()
        self.pages: dict[int, Batch] = {}  # read from the log lately, by the seq before their first
        self._guard = threading.Lock()
        self._recent: list[Batch] = []  # without gaps, up to `_last`
        self._size = 0
        self._last = 0
        self._seen = 0  # the highest seq that is known to exist

    def push(self, batch: Batch, keep: int) -> None:
        with self._guard:
            if batch.last <= self._last:
                return
            if batch.first > self._last + 1:  # the first message, or one was lost: who lacks events reads them
                self._forget()
            elif self._only_follower_has_all():
                self._forget()  # nobody is going to ask for it
            batch = batch.after(self._last)
            self._recent.append(batch)
            self._size += batch.size
            self._last = batch.last
            self._seen = max(self._seen, batch.last)
            while len(self._recent) > 1 and self._size > keep:
                self._size -= self._recent.pop(0).size
        self.wake()

    def find(self, cursor: int) -> Batch | bool:
        """Return the next of the recent events; False where there is nothing after `cursor`, True where the log has it."""
        if max(self._last, self._seen) <= cursor:
            return False
        recent = self._recent
        try:
            found = recent[-1]
            if found.first > cursor + 1:
                found = recent[bisect_right(recent, cursor, key=_last_of)]
        except IndexError:
            return True
        return found.after(cursor) if found.first <= cursor + 1 <= found.last else True

    def saw(self, last: int) -> None:
        """The log is known to reach this far."""
        with self._guard:
            self._seen = max(self._seen, last)
        self.wake()

    def missed(self, cursor: int) -> None:
        """The log has nothing after `cursor`: it was lost, or cannot be read now. The next message or heartbeat asks again."""
        with self._guard:
            self._seen = min(self._seen, cursor)
            if self._last > cursor:
                self._forget()
                self._last = 0

    def wake(self) -> None:
        for subscription in tuple(self.subscriptions):
            subscription.wake()

    def _only_follower_has_all(self) -> bool:
        if len(self.subscriptions) > 1:
            return False
        return all(follower.cursor >= self._last for follower in tuple(self.subscriptions))

    def _forget(self) -> None:
        self._recent = []
        self._size = 0
