"""The state machine of a session worker (the sandbox of a session) and what is shown of its sync. SPEC §2."""

from __future__ import annotations

from enum import StrEnum


class WorkerStatus(StrEnum):
    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVING = "removing"
    DELETED = "deleted"
    ERROR = "error"


class SyncStatus(StrEnum):
    NEVER = "never"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


TRANSITIONS: dict[WorkerStatus, frozenset[WorkerStatus]] = {
    WorkerStatus.CREATED: frozenset({WorkerStatus.STARTING, WorkerStatus.ERROR}),
    WorkerStatus.STARTING: frozenset({WorkerStatus.RUNNING, WorkerStatus.ERROR, WorkerStatus.DELETED}),
    WorkerStatus.RUNNING: frozenset({WorkerStatus.STOPPING, WorkerStatus.ERROR, WorkerStatus.DELETED}),
    WorkerStatus.STOPPING: frozenset(
        {WorkerStatus.STOPPED, WorkerStatus.RUNNING, WorkerStatus.ERROR, WorkerStatus.DELETED}
    ),
    WorkerStatus.STOPPED: frozenset(
        {WorkerStatus.STARTING, WorkerStatus.REMOVING, WorkerStatus.ERROR, WorkerStatus.DELETED}
    ),
    WorkerStatus.REMOVING: frozenset({WorkerStatus.DELETED, WorkerStatus.ERROR}),
    WorkerStatus.DELETED: frozenset({WorkerStatus.CREATED, WorkerStatus.STARTING, WorkerStatus.ERROR}),
    WorkerStatus.ERROR: frozenset({WorkerStatus.STARTING, WorkerStatus.DELETED}),
}

_SHOWN = {
    SyncStatus.NEVER: "local_only",
    SyncStatus.FAILED: "local_only",
    SyncStatus.PENDING: "syncing",
    SyncStatus.SUCCEEDED: "synced",
}


def sync_state(status: SyncStatus, *, conflict: bool = False) -> str:
    """Return `local_only`, `syncing`, `synced` or `conflict`, as users see it."""
    return "conflict" if conflict else _SHOWN[status]
