"""Ending an agent that should end and does not: SIGTERM with stdin open, then SIGKILL of its whole tree (decision 4)."""

from __future__ import annotations

import time
from typing import Literal

from app.domain.lease import Lease
from app.ports import AGENT_EXITED, AgentHost, ExecutorError

HASTY_SECONDS = 1.5
"""The grace where the agent's time is up already."""
AFTER_SIGTERM = 0.5
"""Part of the grace that is left to an agent that took no notice of its interrupt: agents that notice SIGTERM are gone in 0.03 s, one
that has let two seconds pass is deaf, and the person who stopped it waits."""


def send_signal(host: AgentHost, agent_id: str, signal: Literal["TERM", "KILL"], key: str, lease: Lease) -> None:
    """Signal an agent; one that has exited meanwhile needs none."""
    try:
        host.signal(agent_id, signal, key=key, epoch=lease.epoch)
    except ExecutorError as error:
        if error.code != AGENT_EXITED:
            raise


class Escalation:
    """The clock of one holder: armed when the agent is to end, it signals each time the grace is over. An agent whose turn is over,
    and that got its SIGTERM for that, has the whole grace."""

    def __init__(self, lease: Lease, grace_seconds: float) -> None:
        self._lease, self._grace_seconds = lease, grace_seconds
        self._due_at: float | None = None
        self._signals: list[Literal["TERM", "KILL"]] = ["TERM", "KILL"]

    @property
    def is_armed(self) -> bool:
        return self._due_at is not None

    def arm(self, *, terminated: bool = False, hasten: bool = False) -> None:
        """Begin to wait. `terminated`: SIGTERM was sent already, so the next is SIGKILL. `hasten`: a deadline has passed."""
        if hasten:
            self._grace_seconds = min(self._grace_seconds, HASTY_SECONDS)
        if terminated and self._signals[0] == "TERM":
            self._signals = ["KILL"]
            self._due_at = None
        if self._due_at is None:
            self._due_at = time.monotonic() + self._grace_seconds

    def disarm(self) -> None:
        self._due_at = None

    def within(self, seconds: float) -> float:
        """Return how long to wait for something else: until the next signal is due, `seconds` at most."""
        if self._due_at is None:
            return seconds
        return max(0.0, min(seconds, self._due_at - time.monotonic()))

    def tick(self, host: AgentHost, agent_id: str) -> None:
        """Send what is due."""
        if self._due_at is None or time.monotonic() < self._due_at:
            return
        signal = self._signals[0]
        self._signals = self._signals[1:] or ["KILL"]
        self._due_at = time.monotonic() + self._grace_seconds * AFTER_SIGTERM
        send_signal(host, agent_id, signal, f"escalate:{self._lease.epoch}:{signal}:{time.monotonic_ns()}", self._lease)
