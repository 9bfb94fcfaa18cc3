"""What becomes of what the jobs of maintenance tell: one line, counters, and failures that end nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from app.adapters.redis_tally import series
from app.services import maintenance
from app.services.maintenance import EFFECTS, FAILURES, RUNS, Job, Maintenance
from app.services.worker_sweeps import SweepResult


class MemoryTally:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        key = series(name, labels)
        self.counts[key] = self.counts.get(key, 0) + amount

    def read(self) -> dict[str, int]:
        return {key: value for key, value in self.counts.items() if value}


class Case:
    def __init__(self, lines: list[tuple[str, dict[str, Any]]]) -> None:
        self.lines, self.tally = lines, MemoryTally()
        parts: Any = type("Parts", (), {"tally": self.tally})()
        self.maintenance = Maintenance(parts)

    def counted(self) -> dict[str, int]:
        return {key.partition("{")[0]: value for key, value in self.tally.read().items()}


def job(run: Callable[[], Any]) -> Job:
    return Job("stop_idle", "a test", 1, run)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    class Nothing:
        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    lines: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(maintenance.logger, "info", lambda message, **facts: lines.append((message, facts)))
    monkeypatch.setattr(maintenance.logger, "exception", lambda message, **facts: lines.append((message, facts)))
    monkeypatch.setattr(maintenance.db, "connection", Nothing)
    return Case(lines)


def swept(*, done: int = 0, skipped: int = 0, failed: int = 0) -> dict[str, int]:
    result = SweepResult(checked=done + skipped + failed, done=done, skipped=skipped, failed=failed, items=[])
    return maintenance._did(result)


def test_a_job_that_did_something_says_so_in_one_line_and_is_counted(case: Case) -> None:
    did = case.maintenance.run(job(lambda: swept(done=2, failed=1)))
    assert did == {"done": 2, "failed": 1}
    assert case.lines == [("job done", {"job": "stop_idle", "did": {"done": 2, "failed": 1}})]
    assert case.counted() == {RUNS: 1, EFFECTS: 2, FAILURES: 1}


@pytest.mark.parametrize("answer", [0, {}, {"told": 0}, swept(), swept(skipped=3)])
def test_a_job_that_did_nothing_is_silent(case: Case, answer: Any) -> None:
    case.maintenance.tick(job(lambda: answer))
    assert case.lines == []
    assert case.counted() == {RUNS: 1}


def test_a_number_is_what_was_done(case: Case) -> None:
    assert case.maintenance.run(job(lambda: 3)) == {"done": 3}
    assert case.counted() == {RUNS: 1, EFFECTS: 3}


def test_a_job_that_fails_is_counted_and_logged_and_ends_nothing(case: Case) -> None:
    def fail() -> int:
        raise RuntimeError("the store is away")

    case.maintenance.tick(job(fail))
    assert case.lines == [("job failed", {"job": "stop_idle"})]
    assert case.counted() == {RUNS: 1, FAILURES: 1}
    with pytest.raises(RuntimeError):
        case.maintenance.run(job(fail))
