"""A web process that is told to go: what it still waits for, and what it does not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from web.leaving import AtWork


def test_a_request_is_at_work_until_its_last_byte_was_sent() -> None:
    seen: list[int] = []

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen.append(at_work.count)
        return iter([b"a", b"b"])

    at_work = AtWork(application)
    answer = at_work({}, None)
    assert (seen, at_work.count) == ([1], 1)
    assert b"".join(answer) == b"ab"
    assert at_work.count == 1
    answer.close()  # type: ignore[attr-defined] # as the server does, also where the client went away
    assert at_work.count == 0


def test_a_request_that_ended_without_an_answer_is_not_waited_for() -> None:
    """So WebSockets end, and defects."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise StopIteration

    at_work = AtWork(application)
    with pytest.raises(StopIteration):
        at_work({}, None)
    assert at_work.count == 0
