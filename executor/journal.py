"""The journal of one agent process: numbered records on disk, appended before anything acts on them.

A folder per journal holds segments `<first n>.seg` (frames of `protocol`, byte for byte what goes over the wire), `ack` (the
acknowledged position) and `keys` (keys of records whose segments are gone). Nothing here knows processes or HTTP. A record
is handed to the kernel, not to the disk: a crash of the executor loses nothing, and a crash of the machine ends the agent too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from executor.refusal import Refused
from executor.settings import Limits

_CHUNK = 256 * 1024
_BEAT = b'{"kind":"beat","size":0}\n\n'


@dataclass(slots=True)
class _Segment:
    """`following` is the first number of the next segment, 0 while this one is the last; `base` counts the bytes before it."""

    first: int
    size: int
    following: int = 0
    base: int = 0


_GONE = _Segment(0, 0)


class Journal:
    """Safe for many threads. Everything public may raise OSError (a full disk); then nothing was recorded."""

    def __init__(self, folder: str, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._changed = threading.Condition()
        self._keys: dict[str, int] = {}
        self._segments: list[_Segment] = []
        self._readers: dict[object, int] = {}  # how far each got, by bytes
        self._was_read = False
        self.on_read: Callable[[], None] = lambda: None
        self.last = 0
        self.acknowledged = 0
        self.exit: str | None = None
        os.makedirs(folder, 0o700, exist_ok=True)
        self._load()
        self._active = os.open(self._path(self._segments[-1]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    # --- writing -------------------------------------------------------------------------------------------------------

    def append(
        self, kind: str, body: bytes = b"", *, key: str | None = None, epoch: int | None = None
    ) -> tuple[int, bool]:
        """Return the record's number, and whether a record with this key was there already (then nothing is written)."""
        with self._changed:
            if key is not None and key in self._keys:
                return self._keys[key], True
            if self.exit is not None:
                raise Refused(409, "agent_exited", self.exit)
            header: dict[str, object] = {"n": self.last + 1, "t": round(time.time(), 6), "kind": kind}
            if key is not None:
                header["key"] = key
            if epoch is not None:
                header["epoch"] = epoch
            header["size"] = len(body)
            self._write(b"%b\n%b\n" % (json.dumps(header, separators=(",", ":")).encode(), body), 1)
            if key is not None:
                self._keys[key] = self.last
            if kind == "exit":
                self.exit = json.loads(body)["exit"]
            self._changed.notify_all()
            return self.last, False

    def append_all(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Append records without keys in one write."""
        with self._changed:
            now, n, parts = time.time(), self.last, []
            for kind, body in records:
                n += 1
                header = b'{"n":%d,"t":%.6f,"kind":"%b","size":%d}\n' % (n, now, kind.encode(), len(body))
                parts += [header, body, b"\n"]
            self._write(b"".join(parts), len(records))
            self._changed.notify_all()

    def close(self, how: str) -> None:
        """Write the `exit` record, the last one. Does nothing on a closed journal."""
        if self.exit is None:
            self.append("exit", json.dumps({"exit": how}).encode())
        descriptor = os.open(os.path.join(self._folder, "closed"), os.O_WRONLY | os.O_CREAT, 0o600)
        os.close(descriptor)

    def release(self) -> None:
        """Let go of the file; only for a journal that nobody uses any more."""
        os.close(self._active)

    def _write(self, data: bytes, count: int) -> None:
        segment = self._segments[-1]
        if segment.size >= self._limits.segment_bytes:
            segment = self._rotate()
        view, done = memoryview(data), 0
        try:
            while done < len(data):
                done += os.write(self._active, view[done:])
        except OSError:
            os.ftruncate(self._active, segment.size)
            raise
        segment.size += len(data)
        self.last += count

    def _rotate(self) -> _Segment:
        segment = _Segment(self.last + 1, 0, base=self._segments[-1].base + self._segments[-1].size)
        descriptor = os.open(self._path(segment), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.close(self._active)
        self._active = descriptor
        self._segments[-1].following = segment.first
        self._segments.append(segment)
        self._drop_acknowledged()
        return segment

    # --- acknowledging ---------------------------------------------------------------------------------------------------

    def acknowledge(self, n: int) -> int:
        """Allow records up to `n` to be deleted, segment by segment; return the acknowledged position."""
        with self._changed:
            if n > self.acknowledged:
                self.acknowledged = min(n, self.last)
                descriptor = os.open(os.path.join(self._folder, "ack"), os.O_WRONLY | os.O_CREAT, 0o600)
                try:
                    os.pwrite(descriptor, b"%020d" % self.acknowledged, 0)
                finally:
                    os.close(descriptor)
                self._drop_acknowledged()
            return self.acknowledged

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how much is kept for a reader that has not confirmed it, by whole segments."""
        return 0 if self.acknowledged == self.last else sum(segment.size for segment in self._segments)

    @property
    def unread_bytes(self) -> int:
        """Return how much the foremost of the readers that are there has not read. Whoever starts an agent is going to read, so
        before the first reader that is everything; once all have left it is 0, and the agent goes on without them."""
        with self._changed:
            foremost = max(self._readers.values(), default=0)
            if not self._readers and self._was_read:
                return 0
            return self._segments[-1].base + self._segments[-1].size - foremost

    def _drop_acknowledged(self) -> None:
        while len(self._segments) > 1 and self._segments[1].first - 1 <= self.acknowledged:
            segment = self._segments[0]
            self._keep_keys(segment.first, self._segments[1].first)
            os.unlink(self._path(segment))
            del self._segments[0]

    def _keep_keys(self, first: int, end: int) -> None:
        kept = [(key, n) for key, n in self._keys.items() if first <= n < end]
        if kept:
            with open(os.path.join(self._folder, "keys"), "ab") as file:
                file.write(b"".join(json.dumps(item).encode() + b"\n" for item in kept))

    # --- reading -------------------------------------------------------------------------------------------------------

    def stream(self, after: int, *, follow: bool, gone: Callable[[], bool]) -> Iterator[bytes]:
        """Yield the frames of the records with n > `after` as bytes (cut anywhere); with `follow` until the journal is closed.

        `gone` is asked about once a second while nothing happens, and ends the iteration. `beat` frames show that the line is alive.
        """
        with self._changed:
            segment, offset = self._locate(after)
        return self._pump(segment, offset, follow, gone)

    def _pump(self, segment: _Segment, offset: int, follow: bool, gone: Callable[[], bool]) -> Iterator[bytes]:
        descriptor, reader = self._open(segment), object()
        try:
            quiet_since = time.monotonic()
            while True:
                self._note_reader(reader, segment.base + offset)
                end, following = self._wait(segment, offset, follow)
                if offset < end:
                    data = os.pread(descriptor, min(_CHUNK, end - offset), offset)
                    offset += len(data)
                    quiet_since = time.monotonic()
                    yield data
                elif following is not None:
                    later = self._open(following)
                    os.close(descriptor)
                    descriptor, segment, offset = later, following, 0
                elif not follow or self.exit is not None or gone():
                    return
                elif time.monotonic() - quiet_since >= self._limits.beat_seconds:
                    quiet_since = time.monotonic()
                    yield _BEAT
        finally:
            os.close(descriptor)
            self._note_reader(reader, None)

    def _note_reader(self, reader: object, position: int | None) -> None:
        with self._changed:
            if position is None:
                self._readers.pop(reader, None)
            else:
                self._readers[reader], self._was_read = position, True
        self.on_read()

    def _wait(self, segment: _Segment, offset: int, follow: bool) -> tuple[int, _Segment | None]:
        with self._changed:
            if follow and offset == segment.size and self.exit is None and self._segments[-1] is segment:
                self._changed.wait(min(1.0, self._limits.beat_seconds))
            if not segment.following:
                return segment.size, None
            return segment.size, next((later for later in self._segments if later.first == segment.following), _GONE)

    def _open(self, segment: _Segment) -> int:
        try:
            return os.open(self._path(segment), os.O_RDONLY)
        except FileNotFoundError:
            raise Refused(410, "records_gone", f"the journal begins at {self._segments[0].first}") from None

    def _locate(self, after: int) -> tuple[_Segment, int]:
        if after > self.last:
            raise Refused(409, "ahead", f"the journal ends at {self.last}")
        if after + 1 < self._segments[0].first:
            raise Refused(410, "records_gone", f"the journal begins at {self._segments[0].first}")
        segment = next(segment for segment in reversed(self._segments) if segment.first <= after + 1)
        if after == self.last:
            return segment, segment.size
        with open(self._path(segment), "rb") as file:
            for header, begin, _ in _headers(file):
                if header["n"] == after + 1:
                    return segment, begin
        raise Refused(500, "journal_damaged", f"record {after + 1} is not where it belongs")

    # --- loading -------------------------------------------------------------------------------------------------------

    def _path(self, segment: _Segment) -> str:
        return os.path.join(self._folder, f"{segment.first:016d}.seg")

    def _load(self) -> None:
        firsts = sorted(int(name[:-4]) for name in os.listdir(self._folder) if name.endswith(".seg"))
        for first in firsts:
            self._segments.append(self._load_segment(first))
        for earlier, later in zip(self._segments, self._segments[1:], strict=False):
            earlier.following, later.base = later.first, earlier.base + earlier.size
        if not self._segments:
            self._segments.append(_Segment(1, 0))
        self.last = max(self.last, self._segments[-1].first - 1)
        self._load_marks()

    def _load_segment(self, first: int) -> _Segment:
        segment = _Segment(first, 0)
        with open(self._path(segment), "r+b") as file:
            for header, begin, end in _headers(file):
                self.last, segment.size = header["n"], end
                if header.get("key") is not None:
                    self._keys[header["key"]] = header["n"]
                if header["kind"] == "exit":
                    file.seek(begin)
                    file.readline()
                    self.exit = json.loads(file.read(header["size"]))["exit"]
                    file.seek(end)
            file.truncate(segment.size)  # a torn tail: its writer died, and nothing acted on it
        return segment

    def _load_marks(self) -> None:
        try:
            with open(os.path.join(self._folder, "ack"), "rb") as file:
                self.acknowledged = min(int(file.read() or b"0"), self.last)
            with open(os.path.join(self._folder, "keys"), "rb") as file:
                self._keys.update(dict(json.loads(line) for line in file if line.endswith(b"\n")))
        except FileNotFoundError:
            return


def _headers(file: BinaryIO) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Yield `(header, begin, end)` of each whole frame."""
    size = os.fstat(file.fileno()).st_size
    begin = 0
    while True:
        line = file.readline()
        try:
            header = json.loads(line)
            end = begin + len(line) + header["size"] + 1
        except (ValueError, KeyError, TypeError):
            return
        if end > size:
            return
        yield header, begin, end
        begin = end
        file.seek(begin)
