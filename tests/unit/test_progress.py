"""When a process is taken to be stuck, and when it is not any more."""

from __future__ import annotations

from app.services.progress import STANDING_SECONDS, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_loop_that_has_not_turned_for_too_long_is_stuck_until_it_turns() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.expect("jobs", 10)
    clock.now += 60
    assert progress.find_stuck() is None  # it has not begun
    progress.turned("jobs")
    clock.now += 11
    stuck = progress.find_stuck()
    assert stuck is not None
    assert (stuck.loop, stuck.seconds, stuck.why) == ("jobs", 11, "it does not turn")
    progress.turned("jobs")
    assert progress.find_stuck() is None


def test_a_loop_that_turns_and_fails_again_and_again_is_stuck_since_its_first_failure() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.failed("claims", ValueError("no such column"))
    assert progress.find_stuck() is None  # a blip
    clock.now += STANDING_SECONDS + 1
    progress.failed("claims", ValueError("no such column"))
    stuck = progress.find_stuck()
    assert stuck is not None
    assert (stuck.loop, stuck.seconds) == ("claims", STANDING_SECONDS + 1)
    assert "no such column" in stuck.why
    progress.turned("claims")
    assert progress.find_stuck() is None


def test_a_failure_that_nobody_repeats_is_forgotten() -> None:
    clock = Clock()
    progress = Progress(clock)
    progress.failed("claims", ValueError())
    clock.now += STANDING_SECONDS
    progress.failed("claims", ValueError())
    assert progress.find_stuck() is not None
    clock.now += 6 * STANDING_SECONDS
    assert progress.find_stuck() is None


def test_of_two_loops_the_one_that_has_been_stuck_for_longer_is_named_and_one_at_rest_is_not() -> None:
    clock = Clock()
    progress = Progress(clock)
    for name in ("bells", "threads"):
        progress.expect(name, 1)
    progress.turned("threads")
    clock.now += 2
    progress.turned("bells")
    clock.now += 2
    assert progress.find_stuck().loop == "threads"  # type: ignore[union-attr]
    progress.rest("threads")
    assert progress.find_stuck().loop == "bells"  # type: ignore[union-attr]
