"""Following logs live: one hub per web process, one pub/sub connection, any number of clients. ARCHITECTURE decision 7.

A subscription holds no queue of its own, only how far its client is. What was appended last lies once per run, decoded and
rendered once for all of its clients; whoever is further back reads the log. So a slow client costs no memory, and joining,
lagging, and a lost message are one and the same thing. What a client is sent (SSE, WebSocket) is not decided here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import nullcontext
from types import TracebackType
from typing import Self, TypeVar

from app import db
from app.domain.events import Event
from app.errors import Unavailable
from app.log import logger
from app.ports import LiveFeed
from app.services.log_reader import LogReader, Position
from web.channel import Batch, Channel, Heartbeat, Reset

PAGE = 200
PAGES_OF_RUN = 8
RECENT_BYTES = 16_777_216
"""What is kept for clients that follow closely, shared out among the runs that have clients; at least so much for each:"""
RECENT_BYTES_OF_RUN = 16_384
SUBSCRIBED_SECONDS = 2.0
LOST_FEED_POLL_SECONDS = 1.0
PARALLEL_READS = 4
"""Threads (greenlets) that read logs, each with its connection: a thousand clients must not open a thousand of them."""

Item = Batch | Heartbeat | Reset
T = TypeVar("T")


class Subscription:
    """What one client gets of one run: an iterator of `Batch`, `Heartbeat` and `Reset`. It blocks, and ends after `run.closed`,
    when closed, or with the hub. One thread (or greenlet) iterates; `close` may be called from any."""

    __slots__ = ("_behind", "_channel", "_closed", "_hub", "_unsure", "_woken", "beat", "cursor")

    def __init__(self, hub: Hub, channel: Channel, cursor: int) -> None:
        self._hub, self._channel = hub, channel
        self.cursor = cursor
        self.beat = False
        self._behind = True  # whether the log must be read for what comes next
        self._unsure = True  # whether the cursor is in the log at all
        self._closed = False
        self._woken = threading.Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        while not self._closed:
            if self.beat:
                self.beat = False
                return Heartbeat(self.cursor)
            item = self._look()
            if item is not None:
                return item
            if not self._closed:
                self._woken.acquire()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop following. Idempotent."""
        self._closed = True
        self._hub.leave(self._channel, self)
        self.wake()

    def wake(self) -> None:
        try:  # noqa: SIM105 - the hottest line of a run with many clients
            self._woken.release()
        except RuntimeError:
            pass  # it is awake already

    def _look(self) -> Item | None:
        """Return what comes next; None where nothing does yet."""
        if not self._behind:
            found = self._channel.find(self.cursor)
            if isinstance(found, Batch):
                return self._give(found)
            if not found:
                return None
        self._channel.subscribed.wait(SUBSCRIBED_SECONDS)
        page = self._hub.read(self._channel, self.cursor)
        if page is not None:
            self._unsure = False
            self._behind = len(page.events) >= PAGE  # below that it is the log's end, and what follows was published
            return self._give(page)
        if self._unsure:
            return self._check_cursor()
        self._behind = False
        self._channel.missed(self.cursor)
        return None

    def _give(self, batch: Batch) -> Batch:
        self.cursor = batch.last
        if batch.closes:
            self.close()
        return batch

    def _check_cursor(self) -> Reset | None:
        """The log has nothing after the cursor. Is it at the log's end, or beyond it?"""
        position = self._hub.position(self._channel.run_id)
        if position is None or (not position.certain and position.last < self.cursor):
            return None  # cannot be told now: asked again at the next heartbeat
        self._unsure = False
        if position.last < self.cursor:
            reset = Reset(self.cursor)
            self.cursor = 0
            return reset
        self._behind = False
        if position.sealed and position.last == self.cursor:
            self.close()
        elif position.last > self.cursor:
            self._channel.saw(position.last)
        return None


class Hub:
    """The clients of this process. Starts its threads with the first client, so that it may be made before a fork."""

    def __init__(
        self,
        reader: LogReader,
        feed: LiveFeed,
        heartbeat_seconds: float = 15.0,
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        self._on_turn = on_turn
        self._reader, self._feed, self._heartbeat_seconds = reader, feed, heartbeat_seconds
        self._channels: dict[str, Channel] = {}
        self._lock = threading.Lock()
        self._reads = ThreadPoolExecutor(PARALLEL_READS, thread_name_prefix="hub-read")
        self._look = threading.Event()
        self._poked: set[str] = set()
        self._started = self._closed = False
        self._ticker: threading.Thread | None = None

    def join(self, run_id: str, cursor: int = 0) -> Subscription:
        """Follow a run from behind `cursor`, the last seq the client has. Whoever calls has looked that the client may."""
        with self._lock:
            self._start()
            channel = self._channels.get(run_id)
            if channel is None:
                channel = self._channels[run_id] = Channel(run_id, self._feed.subscribe(run_id))
            subscription = Subscription(self, channel, cursor)
            channel.subscriptions.add(subscription)
        if self._closed:
            subscription.close()
        return subscription

    def poke(self, run_id: str) -> None:
        """Something was written to this run's log where nobody published it: look now, not at the next heartbeat."""
        with self._lock:
            self._poked.add(run_id)
        self._look.set()

    def is_alive(self) -> bool:
        """True unless its clock should run and does not."""
        return self._ticker is None or self._closed or self._ticker.is_alive()

    def close(self) -> None:
        """End all subscriptions, and wait for the reads under way: nobody reads after this."""
        with self._lock:
            self._closed = True
            subscriptions = [each for channel in self._channels.values() for each in channel.subscriptions]
        self._look.set()
        for subscription in subscriptions:
            subscription.close()
        self._feed.close()
        self._reads.shutdown(cancel_futures=True)

    # --- for subscriptions --------------------------------------------------------------------------------------------------

    def leave(self, channel: Channel, subscription: Subscription) -> None:
        with self._lock:
            channel.subscriptions.discard(subscription)
            if not channel.subscriptions and self._channels.get(channel.run_id) is channel:
                del self._channels[channel.run_id]
                self._feed.unsubscribe(channel.run_id)

    def read(self, channel: Channel, after: int) -> Batch | None:
        """Return the next page of a log, None where there is none or it cannot be read now. Clients that lack the same page
        share it."""
        with channel.reading:
            pages = channel.pages
            page = pages.get(after)
            if page is None:
                events = self._ask(lambda: self._reader.read(channel.run_id, after, PAGE))
                if not events:
                    return None
                page = Batch(events)
                if len(channel.subscriptions) > 1:
                    pages[after] = page
                    if len(pages) > PAGES_OF_RUN:
                        del pages[next(iter(pages))]
            return page

    def position(self, run_id: str) -> Position | None:
        """Return where a log ends; None where that cannot be told now."""
        return self._positions([run_id]).get(run_id)

    # --- the feed and the clock ---------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._feed.start(self._deliver, self._restored)
            threading.Thread(target=self._keep_time, name="hub", daemon=True).start()

    def _deliver(self, run_id: str, events: list[Event], size: int) -> None:
        channel = self._channels.get(run_id)
        if channel is not None and events:
            share = RECENT_BYTES // max(1, len(self._channels))
            channel.push(Batch(events, size), max(RECENT_BYTES_OF_RUN, share))

    def _restored(self) -> None:
        with self._lock:
            self._poked |= set(self._channels)
        self._look.set()

    def _keep_time(self) -> None:
        beat_at = time.monotonic() + self._heartbeat_seconds
        while not self._closed:
            pause = max(0.0, beat_at - time.monotonic())
            self._look.wait(pause if self._feed.connected() else min(pause, LOST_FEED_POLL_SECONDS))
            self._look.clear()
            beats = time.monotonic() >= beat_at
            if beats:
                beat_at = time.monotonic() + self._heartbeat_seconds
            try:
                self._tick(beats)
                self._on_turn()
            except Exception as error:  # noqa: BLE001 - without this thread no client would hear a heartbeat again
                logger.error("hub failed", error=repr(error))

    def _tick(self, beats: bool) -> None:
        with self._lock:
            everything = beats or not self._feed.connected()
            run_ids = list(self._channels) if everything else list(self._poked)
            self._poked = set()
        if beats:
            self._feed.ping()
        self._compare(run_ids)
        if beats:
            self._beat()

    def _beat(self) -> None:
        for channel in list(self._channels.values()):
            channel.pages = {}
            for subscription in tuple(channel.subscriptions):
                subscription.beat = True
                subscription.wake()

    def _compare(self, run_ids: Sequence[str]) -> None:
        """Find out which logs have grown beyond what was heard of: pub/sub can lose the last message."""
        for run_id, position in self._positions(run_ids).items():
            channel = self._channels.get(run_id)
            if channel is not None:
                channel.saw(position.last)

    def _positions(self, run_ids: Sequence[str]) -> dict[str, Position]:
        return (self._ask(lambda: self._reader.positions(run_ids)) if run_ids else None) or {}

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Let one of the reading threads ask the stores; None where they do not answer now, or the hub is closed."""

        def ask() -> T:
            with nullcontext() if db.is_sqlite() else db.connection():  # opening SQLite costs more than reading it
                return question()

        try:
            return self._reads.submit(ask).result()
        except Unavailable as error:
            logger.warning("logs not readable", why=error.message)
        except (RuntimeError, CancelledError):
            if not self._closed:
                raise
        return None
