"""How an agent that should end is made to: which signal comes when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.services import run_escalation
from app.services.run_escalation import HASTY_SECONDS, Escalation

GRACE = 2.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)


class Deaf:
    """An agent that takes no notice; `heard` says what it was sent, and when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.heard: list[tuple[float, str]] = []

    def signal(self, agent_id: str, name: str, *, key: str, epoch: int) -> None:
        self.heard.append((round(self._clock.now - 100.0, 3), name))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(run_escalation, "time", made)
    return made


def end(clock: Clock, *, seconds: float, **armed: bool) -> list[tuple[float, str]]:
    """Arm, and do as the driver does: wait as long as it is told, then tick."""
    lease: Any = SimpleNamespace(epoch=1)
    escalation, agent = Escalation(lease, GRACE), Deaf(clock)
    escalation.arm(**armed)
    while clock.now < 100.0 + seconds:
        clock.now += escalation.within(0.25)
        host: Any = agent
        escalation.tick(host, "run_1.1")
    return agent.heard


def test_who_ignores_an_interrupt_gets_sigterm_and_half_the_grace_later_sigkill(clock: Clock) -> None:
    assert end(clock, seconds=3.5) == [(2.0, "TERM"), (3.0, "KILL")]


def test_who_was_terminated_at_the_end_of_its_turn_has_the_whole_grace(clock: Clock) -> None:
    assert end(clock, seconds=2.5, terminated=True) == [(2.0, "KILL")]


def test_whose_time_is_up_is_given_less(clock: Clock) -> None:
    assert end(clock, seconds=2.5, hasten=True) == [(HASTY_SECONDS, "TERM"), (HASTY_SECONDS * 1.5, "KILL")]


def test_sigkill_is_sent_again_until_it_is_gone(clock: Clock) -> None:
    assert [name for _, name in end(clock, seconds=5.5)] == ["TERM", "KILL", "KILL", "KILL"]


def test_nothing_is_waited_for_that_is_not_due() -> None:
    lease: Any = SimpleNamespace(epoch=1)
    escalation = Escalation(lease, GRACE)
    assert escalation.within(0.25) == 0.25
    escalation.arm()
    assert 0.2 < escalation.within(0.25) <= 0.25
    escalation.disarm()
    assert escalation.within(0.25) == 0.25
