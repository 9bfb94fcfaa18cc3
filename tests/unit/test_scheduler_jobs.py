"""What a tick of the scheduler does with what its jobs tell."""

from __future__ import annotations

from typing import Any

import pytest

from app.services.worker_sweeps import SweepResult
from scheduler import jobs
from scheduler.jobs import Job


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(jobs.logger, "info", lambda message, **facts: lines.append((message, facts)))
    monkeypatch.setattr(jobs.logger, "exception", lambda message, **facts: lines.append((message, facts)))
    return lines


@pytest.fixture(autouse=True)
def without_database(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(jobs.db, "connection", Nothing)


def swept(*, done: int = 0, skipped: int = 0, failed: int = 0) -> SweepResult:
    return SweepResult(checked=done + skipped + failed, done=done, skipped=skipped, failed=failed, items=[])


def test_a_job_that_did_something_says_so_in_one_line(logged: list[tuple[str, dict[str, Any]]]) -> None:
    jobs.perform(Job("stop_idle", 1, lambda: jobs._did(swept(done=2, failed=1))))
    assert logged == [("job done", {"job": "stop_idle", "did": {"done": 2, "failed": 1}})]


@pytest.mark.parametrize("answer", [0, None, {}, jobs._did(swept()), jobs._did(swept(skipped=3))])
def test_a_job_that_did_nothing_is_silent(logged: list[tuple[str, dict[str, Any]]], answer: object) -> None:
    jobs.perform(Job("stop_idle", 1, lambda: answer))
    assert logged == []


def test_a_job_that_fails_is_logged_and_ends_nothing(logged: list[tuple[str, dict[str, Any]]]) -> None:
    def fail() -> None:
        raise RuntimeError("the store is away")

    jobs.perform(Job("stop_idle", 1, fail))
    assert logged == [("job failed", {"job": "stop_idle"})]
