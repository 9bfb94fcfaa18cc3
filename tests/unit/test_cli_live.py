"""Following a run at the terminal, without a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cli.client import Client
from cli.live import READ_AHEAD, Following

EVENTS = 20 * READ_AHEAD


class Flood:
    """A client whose run says more than a terminal shows. `read` counts what was taken from it."""

    def __init__(self) -> None:
        self.read = 0
        self.finished = threading.Event()

    def follow(self, run_id: str, cursor: int) -> Iterator[dict[str, Any]]:
        for seq in range(1, EVENTS + 1):
            self.read = seq
            yield {"seq": seq, "type": "message.delta", "data": {"text": "x"}}
        self.finished.set()
        yield {"seq": EVENTS + 1, "type": "run.finished", "data": {"status": "succeeded"}}


def test_no_more_is_read_than_a_slow_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = Flood()
    following = Following(cast(Client, flood), "run_1", asks=False)
    shown: list[int] = []

    def show(envelope: dict[str, Any]) -> None:
        if not shown:
            assert not flood.finished.wait(0.2), "all of it was read before the first event was shown"
        shown.append(envelope["seq"])
        assert flood.read - envelope["seq"] <= READ_AHEAD + 1
        following._screen.status = "succeeded"

    monkeypatch.setattr(following._screen, "show", show)
    assert following.run() == 0
    assert shown == list(range(1, EVENTS + 2))
