"""A scan as JSON text, made entry by entry: a large workspace never lies in memory as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from executor.refusal import Refused
from executor.scan import Scan

_PART = 64 * 1024


class ManifestStream:
    """`quiet_mark` returns the same number before and after exactly where nothing could write in between."""

    def __init__(self, scans: dict[str, Scan], quiet_mark: Callable[[], int | None]) -> None:
        self._scans, self._quiet_mark = scans, quiet_mark
        self._encode = json.JSONEncoder(separators=(",", ":")).encode

    def parts(self) -> Iterator[bytes]:
        """Yield `{trees: {root: [entry]}, skipped: {root: [...]}, scannedAt, fuzzy, error}`; the time is that of the beginning.
        With an `error` (the status has been sent long before) the trees are not whole."""
        before, scanned_at = self._quiet_mark(), time.time()
        error = None
        yield b'{"trees":{'
        for number, (root, scan) in enumerate(self._scans.items()):
            yield (b"," if number else b"") + self._encode(root).encode() + b":["
            try:
                yield from self._entries(scan)
            except (OSError, Refused, RecursionError) as failed:
                error = f"{root}: {failed}"
            yield b"]"
        after = self._quiet_mark()
        rest = {
            "skipped": {root: scan.skipped for root, scan in self._scans.items()},
            "scannedAt": scanned_at,
            "fuzzy": before is None or before != after,
            "error": error,
        }
        yield b"}," + self._encode(rest)[1:].encode()

    def _entries(self, scan: Scan) -> Iterator[bytes]:
        held, size, first = [], 0, True
        for entry in scan.entries():
            line = ("" if first else ",") + self._encode(entry)
            first = False
            held.append(line)
            size += len(line)
            if size > _PART:
                yield "".join(held).encode()
                held, size = [], 0
        yield "".join(held).encode()
