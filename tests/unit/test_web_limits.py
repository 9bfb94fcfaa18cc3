"""Limits of calls and streams, and cursors of lists."""

from __future__ import annotations

import base64

import pytest

from app.domain import pages
from app.domain.permissions import Principal, Role
from app.errors import Invalid, LimitExceeded
from web.limits import BURST_SECONDS, CallLimit
from web.open_streams import OpenStreams


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Source:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_calls_are_limited_by_principal_and_come_back_with_time() -> None:
    clock = Clock()
    limit = CallLimit(60, clock)
    for _ in range(BURST_SECONDS):
        limit.take("a")
    with pytest.raises(LimitExceeded) as refused:
        limit.take("a")
    limit.take("b")
    clock.now += refused.value.retry_after_seconds

    limit.take("a")


def test_a_stream_that_was_left_makes_room() -> None:
    streams = OpenStreams(1, recheck_seconds=3600)
    who = Principal("tnt", "usr", "x", frozenset({Role.MEMBER}), "token", "tok")
    entered = streams.enter(who, Source())
    with pytest.raises(LimitExceeded, match="1 open streams"):
        streams.require_room(who)
    streams.leave(entered)
    streams.leave(entered)

    streams.require_room(who)
    assert streams.count() == 0


def test_a_cursor_gives_back_the_key_it_was_made_of() -> None:
    assert pages.decode(pages.encode(1.5, "ses_1"), float, str) == (1.5, "ses_1")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "x",
        "WyJhIl0=",
        base64.urlsafe_b64encode(b"{}").decode(),
        base64.urlsafe_b64encode(b"[1]").decode(),
        "é",
    ],
)
def test_another_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        pages.decode(cursor, float, str)

    assert refused.value.code == "cursor_malformed"
