"""The state machine of a run. SPEC §2; the CHECKs in `sql/` and the conditional UPDATEs in `app.services` agree with it."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    WAITING_HUMAN = "waiting_human"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    BLOCKED = "blocked"


TERMINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED, RunStatus.BLOCKED})
ACTIVE = frozenset({RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.WAITING_HUMAN})
"""At most one run of a session is in one of these: a partial unique index makes it law."""

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.CLAIMED, RunStatus.CANCELED}),
    RunStatus.CLAIMED: frozenset(
        {RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.BLOCKED, RunStatus.FAILED, RunStatus.CANCELED}
    ),
    RunStatus.RUNNING: frozenset(
        {RunStatus.WAITING_HUMAN, RunStatus.QUEUED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELED}
    ),
    RunStatus.WAITING_HUMAN: frozenset({RunStatus.RUNNING, RunStatus.QUEUED, RunStatus.FAILED, RunStatus.CANCELED}),
    **{status: frozenset() for status in TERMINAL},
}


def sources_of(target: RunStatus) -> frozenset[RunStatus]:
    """Return the states from which `target` may be entered."""
    return frozenset(source for source, targets in TRANSITIONS.items() if target in targets)
