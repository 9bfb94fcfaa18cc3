"""What this web process counted since it started, for /metrics."""

from __future__ import annotations

from collections import Counter


class Counters:
    """Requests by declared route and status; never by address, which callers can make up."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()

    def count_request(self, route: str, status: int) -> None:
        self.requests[(route, status)] += 1
