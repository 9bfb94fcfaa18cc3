"""The rows of session workers: the only writer of `session_workers`. Every change is one conditional UPDATE, side by side here.

`domain.worker_state` and the CHECKs of `sql/` agree with it. What the changes stand for is in `session_workers`.

What a row says about the files on disk: in `created`, `starting`, `stopped` and `deleted` they hold nothing that the newest
snapshot (or the session's repository) does not hold; in `running` and `stopping` they may; in `error` they may where no receipt
says otherwise (`may_hold_unsaved`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from app import db
from app.domain.run_state import ACTIVE
from app.domain.worker_state import TRANSITIONS, SyncStatus, WorkerStatus
from app.errors import Conflict, LeaseLost, NotFound
from app.models import AgentRun, ChatSession, SessionWorker, Snapshot
from app.services import runs


def find(session_id: str) -> SessionWorker | None:
    found: SessionWorker | None = SessionWorker.get_or_none(SessionWorker.session_id == session_id)
    return found


def get(session_id: str) -> SessionWorker:
    worker = find(session_id)
    if worker is None:
        raise NotFound("session worker")
    return worker


def ensure(session: ChatSession) -> SessionWorker:
    """Return the row of this session's worker; make it where it is missing."""
    found = find(session.id)
    if found is not None:
        return found
    with db.transaction():
        SessionWorker.insert(
            session_id=session.id,
            tenant_id=session.tenant_id,
            status=WorkerStatus.CREATED,
            last_used_at=db.clock(),
            created_at=db.clock(),
        ).on_conflict_ignore().execute()
    return get(session.id)


def may_hold_unsaved(worker: SessionWorker) -> bool:
    """True where the sandbox's files may hold what no snapshot holds: it ran, and no receipt was written since."""
    if worker.status in (WorkerStatus.RUNNING, WorkerStatus.STOPPING):
        return True
    return bool(worker.status == WorkerStatus.ERROR and worker.started_at is not None and worker.receipt is None)


# --- the lease of an operation -----------------------------------------------------------------------------------------


def take_lease(session_id: str, owner: str, seconds: float) -> SessionWorker | None:
    """Take the worker for one operation; None while another operation holds it."""
    free = SessionWorker.lease_until.is_null() | (SessionWorker.lease_until <= db.clock())
    with db.transaction():
        taken = (
            SessionWorker.update(
                lease_owner=owner,
                lease_until=db.clock() + seconds,
                lease_epoch=SessionWorker.lease_epoch + 1,
            )
            .where(SessionWorker.session_id == session_id, free)
            .execute()
        )
        return get(session_id) if taken else None


def renew_lease(session_id: str, epoch: int, seconds: float) -> bool:
    """Extend the lease; False when it is over or somebody else's."""
    held = (SessionWorker.lease_epoch == epoch) & (SessionWorker.lease_until > db.clock())
    with db.transaction():
        update = SessionWorker.update(lease_until=db.clock() + seconds)
        return bool(update.where(SessionWorker.session_id == session_id, held).execute())


def release_lease(session_id: str, epoch: int) -> None:
    with db.transaction():
        SessionWorker.update(lease_owner=None, lease_until=None).where(
            SessionWorker.session_id == session_id, SessionWorker.lease_epoch == epoch
        ).execute()


def list_holders() -> list[str]:
    """Return the owners of all leases that are not over."""
    held = SessionWorker.select(SessionWorker.lease_owner).where(SessionWorker.lease_until > db.clock())
    return [row.lease_owner for row in held.distinct() if row.lease_owner]


def end_leases_of(owners: Sequence[str]) -> int:
    """End the leases of holders that are dead, as if their time had passed; return how many."""
    with db.transaction():
        query = SessionWorker.update(lease_until=db.clock())
        held = SessionWorker.lease_until > db.clock(), SessionWorker.lease_owner.in_(list(owners))
        return int(query.where(*held).execute())


# --- the life cycle, by the holder of the lease --------------------------------------------------------------------------


def begin_start(worker: SessionWorker) -> SessionWorker:
    """created, deleted, stopped, error -> starting; starting again where a start was cut off. A new generation."""
    return _move(worker, WorkerStatus.STARTING, {"generation": worker.generation + 1, "error": None}, again=True)


def mark_running(worker: SessionWorker) -> SessionWorker:
    """starting -> running. From here on its files may be written, so the receipt is worth nothing any more."""
    changes = {"receipt": None, "error": None, "started_at": db.clock(), "stopped_at": None, "last_used_at": db.clock()}
    return _move(worker, WorkerStatus.RUNNING, changes)


def begin_stop(worker: SessionWorker) -> SessionWorker:
    """running -> stopping, unless a run is at work. The row is locked first, then the runs are looked at: a driver that reuses the
    sandbox writes this row too (`reuse`), so one of the two sees the other."""
    with db.transaction():
        _lock(worker.session_id)
        require_no_active_run(worker.session_id)
        runs.note_sandbox_stopped(worker.session_id)
        return _move(worker, WorkerStatus.STOPPING, {}, again=True)


def mark_stopped(worker: SessionWorker, receipt: Mapping[str, Any]) -> SessionWorker:
    """stopping -> stopped, with the proof that everything was saved after the last write."""
    return _move(worker, WorkerStatus.STOPPED, {"receipt": dict(receipt), "stopped_at": db.clock(), "error": None})


def stop_failed(worker: SessionWorker, error: str) -> SessionWorker:
    """stopping -> running: the files are not safe, so the sandbox is kept."""
    return _move(worker, WorkerStatus.RUNNING, {"error": error})


def begin_remove(worker: SessionWorker) -> SessionWorker:
    """stopped -> removing."""
    return _move(worker, WorkerStatus.REMOVING, {}, again=True)


def mark_deleted(worker: SessionWorker) -> SessionWorker:
    """-> deleted: the sandbox's files are gone."""
    changes = {"receipt": None, "started_at": None, "stopped_at": None, "error": None}
    return _move(worker, WorkerStatus.DELETED, changes, again=True)


def mark_error(worker: SessionWorker, error: str) -> SessionWorker:
    """any -> error. The receipt stays as it is: it tells whether the files on disk are saved."""
    return _move(worker, WorkerStatus.ERROR, {"error": error}, again=True)


def begin_salvage(worker: SessionWorker) -> SessionWorker:
    """error -> error with a new generation: its files are reached by an executor alone, and not saved yet."""
    return _move(worker, WorkerStatus.ERROR, {"generation": worker.generation + 1}, again=True)


def mark_salvaged(worker: SessionWorker, receipt: Mapping[str, Any]) -> SessionWorker:
    """error -> starting: what could be reached is saved, and the sandbox of this generation goes on."""
    return _move(worker, WorkerStatus.STARTING, {"receipt": dict(receipt), "error": None})


def renew_generation(worker: SessionWorker) -> SessionWorker:
    """stopping -> stopping: the executor died during the stop, another one reaches the files."""
    return _move(worker, WorkerStatus.STOPPING, {"generation": worker.generation + 1}, again=True)


def _move(
    worker: SessionWorker, target: WorkerStatus, changes: Mapping[str, Any], *, again: bool = False
) -> SessionWorker:
    """Change the status where the lease is still this holder's and the table of states admits it, else raise LeaseLost."""
    sources = {source for source, targets in TRANSITIONS.items() if target in targets} | ({target} if again else set())
    with db.transaction():
        changed = (
            SessionWorker.update(status=target, **changes)
            .where(_held_by(worker), SessionWorker.status.in_([str(source) for source in sources]))
            .execute()
        )
        if not changed:
            raise LeaseLost(
                f"session worker {worker.session_id}: not {target} by the lease of epoch {worker.lease_epoch}"
            )
        return get(worker.session_id)


def _held_by(worker: SessionWorker) -> Any:
    return (SessionWorker.session_id == worker.session_id) & (SessionWorker.lease_epoch == worker.lease_epoch)


def _lock(session_id: str) -> None:
    """Take the row's lock for this transaction, on both databases."""
    SessionWorker.update(lease_epoch=SessionWorker.lease_epoch).where(SessionWorker.session_id == session_id).execute()


def has_active_run(session_id: str) -> bool:
    """True while a run works in the sandbox. One that was let go while it waits for a person does not."""
    active = AgentRun.status.in_([str(status) for status in ACTIVE]) & AgentRun.let_go_at.is_null()
    return bool(AgentRun.select().where(AgentRun.session_id == session_id, active).exists())


def require_no_active_run(session_id: str) -> None:
    if has_active_run(session_id):
        raise Conflict(
            "run_active",
            "The session is at work; its sandbox cannot be stopped now.",
            remedy="Wait for the run to end, or stop it first.",
        )


def note_baseline(worker: SessionWorker, commit: str) -> None:
    """Remember what the workspace was seeded with."""
    with db.transaction():
        if not SessionWorker.update(baseline=commit).where(_held_by(worker)).execute():
            raise LeaseLost(f"session worker {worker.session_id}: the operation's lease is over")


# --- saving ------------------------------------------------------------------------------------------------------------


def sync_pending(worker: SessionWorker) -> None:
    _note_sync(worker, {"last_sync_status": SyncStatus.PENDING})


def sync_succeeded(worker: SessionWorker) -> None:
    _note_sync(worker, {"last_sync_status": SyncStatus.SUCCEEDED, "last_sync_error": None, "last_sync_at": db.clock()})


def sync_failed(worker: SessionWorker, error: str) -> None:
    _note_sync(worker, {"last_sync_status": SyncStatus.FAILED, "last_sync_error": error})


def record_snapshot(worker: SessionWorker, snapshot: Mapping[str, Any]) -> None:
    """Write the row of a snapshot and make it the newest, where lease, generation and its parent still are what they were."""
    parent = worker.snapshot_id
    same_parent = SessionWorker.snapshot_id.is_null() if parent is None else SessionWorker.snapshot_id == parent
    with db.transaction():
        changed = (
            SessionWorker.update(snapshot_id=snapshot["id"])
            .where(_held_by(worker), SessionWorker.generation == worker.generation, same_parent)
            .execute()
        )
        if not changed:
            raise LeaseLost(f"session worker {worker.session_id}: the snapshot's sandbox is somebody else's now")
        Snapshot.insert(**snapshot, created_at=db.clock()).execute()
    worker.snapshot_id = snapshot["id"]


def record_aside(snapshot: Mapping[str, Any]) -> None:
    """Write the row of a snapshot that is kept beside the line of newest ones."""
    with db.transaction():
        Snapshot.insert(**snapshot, created_at=db.clock()).execute()


def _note_sync(worker: SessionWorker, changes: Mapping[str, Any]) -> None:
    with db.transaction():
        if not SessionWorker.update(**changes).where(_held_by(worker)).execute():
            raise LeaseLost(f"session worker {worker.session_id}: the operation's lease is over")


# --- without the lease -------------------------------------------------------------------------------------------------


def reuse(worker: SessionWorker) -> SessionWorker | None:
    """Say that a run uses this sandbox as it runs; None where it is not running any more. `begin_stop` sees it or is seen by it."""
    with db.transaction():
        used = (
            SessionWorker.update(last_used_at=db.clock())
            .where(
                SessionWorker.session_id == worker.session_id,
                SessionWorker.status == WorkerStatus.RUNNING,
                SessionWorker.generation == worker.generation,
            )
            .execute()
        )
        return get(worker.session_id) if used else None


def touch(session_id: str) -> None:
    with db.transaction():
        SessionWorker.update(last_used_at=db.clock()).where(SessionWorker.session_id == session_id).execute()


def set_wish(session_id: str, kind: str) -> bool:
    """Write down what somebody wants; a later wish takes the place of an earlier one. False where there is no such worker."""
    with db.transaction():
        update = SessionWorker.update(wish=kind, wish_at=db.clock(), wish_error=None)
        return bool(update.where(SessionWorker.session_id == session_id).execute())


def is_still_wished(worker: SessionWorker) -> bool:
    """False where the wish was granted meanwhile, or another took its place."""
    now = get(worker.session_id)
    return bool(now.wish == worker.wish and now.wish_at == worker.wish_at)


def forget_sandboxes() -> None:
    """Everything was restored elsewhere: no sandbox is there, and each session goes on from its newest snapshot."""
    gone = {**dict.fromkeys(("receipt", "started_at", "stopped_at", "error")), "status": WorkerStatus.DELETED}
    SessionWorker.update(gone).where(SessionWorker.status != WorkerStatus.CREATED).execute()
    free = dict.fromkeys(("lease_owner", "lease_until", "wish", "wish_at", "wish_error", "last_sync_error"))
    saved = peewee.Case(None, [(SessionWorker.snapshot_id.is_null(), str(SyncStatus.NEVER))], str(SyncStatus.SUCCEEDED))
    SessionWorker.update({**free, "last_sync_status": saved}).execute()


def clear_wish(worker: SessionWorker, error: str | None) -> None:
    """The wish was granted, or refused with `error`; a newer one stays."""
    with db.transaction():
        SessionWorker.update(wish=None, wish_error=error).where(
            SessionWorker.session_id == worker.session_id,
            SessionWorker.wish == worker.wish,
            SessionWorker.wish_at == worker.wish_at,
        ).execute()
