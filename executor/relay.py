"""The one way out of a fenced agent's network namespace: what connects to its door is joined with one address outside.

The door is a listening socket that was made inside (`executor.gate`) and is served from here, where the network is whole. Bytes are
passed on as they come and as they can be taken; nothing is read of them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Sequence

GATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gate.py")
_PART = 64 * 1024
_LOOK_SECONDS = 1.0


class Relay:
    """The door of one agent. `peer` is `host:port`; it is let go of when `ended` is set."""

    def __init__(self, peer: str, ended: threading.Event) -> None:
        host, _, port = peer.rpartition(":")
        self._peer, self._ended = (host, int(port)), ended
        self._ours, self._theirs = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._pairs: set[_Pair] = set()

    @property
    def inherited(self) -> int:
        """The descriptor that the gate must have."""
        return self._theirs.fileno()

    def behind_gate(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that opens the door and becomes `argv`, whose program is a path."""
        return [sys.executable, "-I", "-S", "-B", GATE, str(self.inherited), str(self._peer[1]), *argv]

    def start(self) -> None:
        """Serve the door on a thread of its own; to be called when the gate has been started (or could not be)."""
        self._theirs.close()
        threading.Thread(target=self._run, name="relay", daemon=True).start()

    def _run(self) -> None:
        with self._ours, self._selector:
            _, handed, _, _ = socket.recv_fds(self._ours, 1, 1)
            if not handed:
                return  # it ended before its door was open
            with socket.socket(fileno=handed[0]) as door:
                door.setblocking(False)
                self._selector.register(door, selectors.EVENT_READ, lambda _: self._join(door))
                while not self._ended.is_set():
                    for key, events in self._selector.select(_LOOK_SECONDS):
                        key.data(events)
            for pair in list(self._pairs):
                pair.close()

    def _join(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it hung up again
            inner, _ = door.accept()
            outer = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            pair = _Pair(self._selector, inner, outer, self._pairs.discard)
            self._pairs.add(pair)
            pair.connect(self._peer)


class _Pair:
    """Two connections; each direction holds at most one part."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        inner: socket.socket,
        outer: socket.socket,
        closed: Callable[[_Pair], None],
    ) -> None:
        self._selector, self._ends, self._closed = selector, (inner, outer), closed
        self._held = {inner: b"", outer: b""}  # what is to be written to each
        self._reads = {inner: True, outer: True}
        self._connected = False

    def connect(self, peer: tuple[str, int]) -> None:
        """Begin to connect the outer end; the first write finds out what came of it."""
        inner, outer = self._ends
        try:
            for end in self._ends:
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            outer.connect_ex(peer)
        except OSError:
            self.close()
            return
        self._selector.register(inner, selectors.EVENT_READ, self._on(inner))
        self._selector.register(outer, selectors.EVENT_WRITE, self._on(outer))

    def close(self) -> None:
        for end in self._ends:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
        self._closed(self)

    def _on(self, end: socket.socket) -> Callable[[int], None]:
        other = self._ends[1] if end is self._ends[0] else self._ends[0]

        def act(events: int) -> None:
            try:
                if events & selectors.EVENT_WRITE:
                    self._write(end, other)
                if events & selectors.EVENT_READ:
                    self._read(end, other)
                self._wait()
            except OSError:
                self.close()

        return act

    def _write(self, end: socket.socket, other: socket.socket) -> None:
        if end is self._ends[1] and not self._connected:
            if error := end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
            self._connected = True
        self._send(end)
        if not self._held[end] and not self._reads[other]:
            end.shutdown(socket.SHUT_WR)

    def _send(self, end: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            if held := self._held[end]:
                self._held[end] = held[end.send(held) :]

    def _read(self, end: socket.socket, other: socket.socket) -> None:
        part = end.recv(_PART)
        if not part:
            self._reads[end] = False
            if self._connected or other is self._ends[0]:
                other.shutdown(socket.SHUT_WR)
            return
        self._held[other] = part
        if self._connected:
            self._send(other)

    def _wait(self) -> None:
        """Listen for what can be done next: read where the other end has taken all, write where something is held."""
        inner, outer = self._ends
        if not any((*self._reads.values(), *self._held.values())):
            self.close()
            return
        for end, other in ((inner, outer), (outer, inner)):
            connecting = end is outer and not self._connected
            wanted = selectors.EVENT_WRITE if self._held[end] or connecting else 0
            if self._reads[end] and not self._held[other] and not connecting:
                wanted |= selectors.EVENT_READ
            known = self._selector.get_map().get(end)
            if known is None and wanted:
                self._selector.register(end, wanted, self._on(end))
            elif known is not None and not wanted:
                self._selector.unregister(end)
            elif known is not None and known.events != wanted:
                self._selector.modify(end, wanted, known.data)
