"""The state of runs, once they were claimed (`run_claims`): every change is one conditional UPDATE, and there is no other writer
(SPEC §2). Creating runs is in `run_creation`, driving them in `run_driver`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import peewee
from peewee import fn

from app import db
from app.domain.failure import Failure
from app.domain.run_state import RunStatus, sources_of
from app.errors import Conflict, LeaseLost
from app.models import AgentRun, RunCommand

_AT_REST = {"lease_owner": None, "lease_until": None, "waiting_since": None, "sandbox_stopped_at": None}


# --- the holder's changes ------------------------------------------------------------------------------------------------


def renew(run_id: str, epoch: int, seconds: float) -> bool:
    """Extend the lease; False when it is over or somebody else's."""
    changed = (
        AgentRun.update(lease_until=db.clock() + seconds)
        .where(AgentRun.id == run_id, AgentRun.epoch == epoch, AgentRun.lease_until > db.clock())
        .execute()
    )
    return bool(changed == 1)


def hand_back(run_id: str, epoch: int) -> bool:
    """Give the lease back: the run is claimable at once, and nothing is counted against it."""
    changed = (
        AgentRun.update(lease_owner=None, lease_until=None)
        .where(AgentRun.id == run_id, AgentRun.epoch == epoch, AgentRun.finished_at.is_null())
        .execute()
    )
    return bool(changed == 1)


def take_back_death(run_id: str, epoch: int) -> None:
    """Something had come of the lease before this one: Redis knew it. Raises LeaseLost."""
    fields = {"failures": AgentRun.failures - 1, "deaths": AgentRun.deaths - 1}
    with db.transaction():
        _conditional(AgentRun.update(fields).where(AgentRun.id == run_id, AgentRun.epoch == epoch), run_id)


def excuse_lease(run_id: str, epoch: int) -> None:
    """This lease's holder could not even read the log: its end in silence is no death."""
    with db.transaction():
        AgentRun.update(lease_seq=-1).where(AgentRun.id == run_id, AgentRun.epoch == epoch).execute()


def list_holders() -> list[str]:
    """Return the owners of all leases that are not over."""
    held = AgentRun.select(AgentRun.lease_owner).where(
        AgentRun.finished_at.is_null(), AgentRun.lease_until > db.clock()
    )
    return [row.lease_owner for row in held.distinct() if row.lease_owner]


def end_leases_of(owners: Sequence[str]) -> int:
    """End the leases of holders that are dead, as if their time had passed; return how many. A run that lost a holder in silence
    before waits for the whole lease: its holders' deaths may be its own doing, and must not follow each other quickly."""
    query = AgentRun.update(lease_until=db.clock()).where(
        AgentRun.finished_at.is_null(),
        AgentRun.lease_until > db.clock(),
        AgentRun.lease_owner.in_(list(owners)),
        AgentRun.deaths == 0,
    )
    return int(query.execute())


def let_go(run_id: str, epoch: int, record: int, *, sandbox_stopped: bool = False) -> None:
    """Give the lease of a waiting run back for as long as only a person can move it. Raises LeaseLost."""
    fields: dict[str, Any] = {"lease_owner": None, "lease_until": None, "let_go_record": record}
    fields["let_go_at"] = db.clock()
    if sandbox_stopped:
        fields["sandbox_stopped_at"] = fn.COALESCE(AgentRun.sandbox_stopped_at, db.clock())
    query = AgentRun.update(fields).where(
        AgentRun.id == run_id, AgentRun.epoch == epoch, AgentRun.status == RunStatus.WAITING_HUMAN
    )
    _conditional(query, run_id)


def take_up(run: AgentRun) -> bool:
    """Something moved in a run that was let go: make it claimable. False where somebody has it already, or it has ended."""
    query = AgentRun.update(let_go_at=None).where(
        AgentRun.id == run.id, AgentRun.let_go_at == run.let_go_at, AgentRun.finished_at.is_null()
    )
    return bool(query.execute() == 1)


def note_sandbox_stopped(session_id: str) -> None:
    """The sandbox of a session is being stopped while its run waits, let go: the answer starts a new attempt."""
    AgentRun.update(sandbox_stopped_at=db.clock()).where(
        AgentRun.session_id == session_id, AgentRun.let_go_at.is_null(False), AgentRun.finished_at.is_null()
    ).execute()


def set_fields(run_id: str, epoch: int, fields: Mapping[str, Any]) -> None:
    """Write facts that are no state (launch, conversation, counters). Raises LeaseLost."""
    _conditional(AgentRun.update(dict(fields)).where(AgentRun.id == run_id, AgentRun.epoch == epoch), run_id)


def to_running(run_id: str, epoch: int, fields: Mapping[str, Any] | None = None) -> None:
    """claimed | waiting_human -> running."""
    _move(run_id, epoch, RunStatus.RUNNING, {"waiting_since": None, "sandbox_stopped_at": None, **(fields or {})})


def to_waiting(run_id: str, epoch: int, now: float) -> None:
    """running -> waiting_human."""
    _move(run_id, epoch, RunStatus.WAITING_HUMAN, {"waiting_since": now})


def to_queued(run_id: str, epoch: int, *, retry_at: float, counters: Mapping[str, Any]) -> None:
    """claimed | running | waiting_human -> queued, for another attempt at `retry_at`; the lease ends with it."""
    fields = {"retry_at": retry_at, **_AT_REST, **counters}
    _move(run_id, epoch, RunStatus.QUEUED, fields)


def to_terminal(run_id: str, epoch: int, status: RunStatus, *, now: float, fields: Mapping[str, Any]) -> None:
    """Any open state -> a terminal one; the lease ends with it."""
    _move(
        run_id,
        epoch,
        status,
        {"finished_at": now, **_AT_REST, **fields},
    )


def _move(run_id: str, epoch: int, target: RunStatus, fields: Mapping[str, Any]) -> None:
    query = AgentRun.update({"status": target, **fields}).where(
        AgentRun.id == run_id, AgentRun.epoch == epoch, AgentRun.status.in_(list(sources_of(target)))
    )
    _conditional(query, run_id)


def _conditional(query: Any, run_id: str) -> None:
    if query.execute() != 1:
        raise LeaseLost(f"run {run_id} is not this holder's to change, or not in a state that admits it")


# --- external executors --------------------------------------------------------------------------------------------------


def bind(run_id: str, executor_id: str, silence_seconds: float) -> int | None:
    """Bind a queued run, or one that another executor had, to this one; return the new bind epoch, None where that may not be."""
    free = (AgentRun.status == RunStatus.QUEUED) | AgentRun.bound_until.is_null(False)
    query = AgentRun.update(
        executor_id=executor_id,
        bind_epoch=AgentRun.bind_epoch + 1,
        bound_until=db.clock() + silence_seconds,
        retry_at=None,
    ).where(AgentRun.id == run_id, AgentRun.finished_at.is_null(), AgentRun.executor_done_at.is_null(), free)
    rows = list(query.returning(AgentRun.bind_epoch).tuples().execute())
    return int(rows[0][0]) if rows else None


def note_arrival(run_id: str, bind_epoch: int, silence_seconds: float, *, is_last: bool = False) -> int | None:
    """The executor was heard of: give it more time, unless it was asked to stop, and return the number of what arrived; None where
    the run has ended or is not this executor's. Holds the row's lock to the end of the transaction."""
    more: Any = db.clock() + silence_seconds
    fields: dict[str, Any] = {
        "arrivals": AgentRun.arrivals + 1,
        "bound_until": peewee.Case(None, [(AgentRun.stop_requested_at.is_null(), more)], AgentRun.bound_until),
    }
    if is_last:
        fields["executor_done_at"] = db.clock()
    mine = (AgentRun.bind_epoch == bind_epoch, AgentRun.finished_at.is_null(), AgentRun.executor_done_at.is_null())
    query = AgentRun.update(fields).where(AgentRun.id == run_id, *mine).returning(AgentRun.arrivals)
    rows = list(query.tuples().execute())
    return int(rows[0][0]) if rows else None


def hasten(run_id: str, epoch: int, seconds: float) -> None:
    """The executor was asked to stop: it has this long to say that it did. Raises LeaseLost."""
    soon: Any = db.clock() + seconds
    sooner = peewee.Case(None, [(AgentRun.bound_until > soon, soon)], AgentRun.bound_until)
    _conditional(AgentRun.update(bound_until=sooner).where(AgentRun.id == run_id, AgentRun.epoch == epoch), run_id)


def forget_holders() -> int:
    """Everything was restored elsewhere: nobody holds a run any more, and no agent is there. Return how many are open. Those that wait
    for people wait on without an agent; the others are claimed, and begin another attempt."""
    is_open = AgentRun.finished_at.is_null()
    waiting = {
        "let_go_at": fn.COALESCE(AgentRun.let_go_at, db.clock()),
        "let_go_record": fn.COALESCE(AgentRun.let_go_record, 0),
        "sandbox_stopped_at": fn.COALESCE(AgentRun.sandbox_stopped_at, db.clock()),
    }
    AgentRun.update(waiting).where(is_open, AgentRun.status == RunStatus.WAITING_HUMAN).execute()
    return int(AgentRun.update(lease_owner=None, lease_until=None).where(is_open).execute())


def failure_fields(failure: Failure | None) -> dict[str, Any]:
    """Return the columns that say why a run failed."""
    if failure is None:
        return {}
    return {
        "failure_code": failure.code,
        "failure_class": failure.kind.failure_class,
        "failure_message": failure.message,
        "remedy": failure.advice,
        "retryable": int(failure.may_retry),
    }


# --- commands ------------------------------------------------------------------------------------------------------------


def mark_stop_requested(run_id: str) -> None:
    """Show the wish to stop at once, whoever applies it and when."""
    AgentRun.update(stop_requested_at=fn.COALESCE(AgentRun.stop_requested_at, db.clock())).where(
        AgentRun.id == run_id, AgentRun.finished_at.is_null()
    ).execute()


def list_unapplied(run_id: str) -> list[RunCommand]:
    """Return the commands that wait for this run's holder, in the order they were given."""
    query = RunCommand.select().where(RunCommand.run_id == run_id, RunCommand.applied_seq.is_null())
    return list(query.order_by(RunCommand.id))


def mark_applied(command_ids: Sequence[str], seq: int) -> None:
    """The commands took effect when the run's last seq was `seq`."""
    RunCommand.update(applied_seq=seq).where(RunCommand.id.in_(list(command_ids))).execute()


def hold_steerable(run_id: str) -> bool:
    """Keep a run from ending before the caller's transaction does; False where it is not at work, or is being stopped."""
    query = AgentRun.update(status=AgentRun.status).where(
        AgentRun.id == run_id,
        AgentRun.status.in_([RunStatus.RUNNING, RunStatus.WAITING_HUMAN]),
        AgentRun.stop_requested_at.is_null(),
        AgentRun.sandbox_stopped_at.is_null(),
        AgentRun.bound_until.is_null(),
    )
    return bool(query.execute() == 1)


def settle_steer(command_id: str, outcome: str, seq: int) -> None:
    """What became of a message to a working agent is told by the event with this seq. The first outcome holds."""
    RunCommand.update(outcome=outcome, applied_seq=seq).where(
        RunCommand.id == command_id, RunCommand.outcome.is_null()
    ).execute()


def move(run: AgentRun, before: AgentRun | None) -> None:
    """Put a queued run before another queued one of its session, None: behind all of them. Raises Conflict `not_queued`."""
    with db.transaction():
        query = (
            AgentRun.select(AgentRun.id, AgentRun.session_seq)
            .where(
                AgentRun.session_id == run.session_id,
                AgentRun.status == RunStatus.QUEUED,
                AgentRun.bound_until.is_null(),
            )
            .order_by(AgentRun.session_seq)
        )
        waiting = list(query if db.is_sqlite() else query.for_update())
        order = [row.id for row in waiting]
        if run.id not in order or (before is not None and before.id not in order):
            raise Conflict("not_queued", "Only runs that still wait in the same session can change places.")
        places = [row.session_seq for row in waiting]
        order.remove(run.id)
        order.insert(order.index(before.id) if before is not None else len(order), run.id)
        for run_id, place in zip(order, places, strict=True):  # out of the way first: places are unique
            AgentRun.update(session_seq=-place).where(AgentRun.id == run_id).execute()
        AgentRun.update(session_seq=AgentRun.session_seq * -1).where(AgentRun.id.in_(order)).execute()


# --- reading -------------------------------------------------------------------------------------------------------------


def queue_summary(tenant_id: str | None = None) -> dict[str, Any]:
    """Return `{depth, oldestAgeSeconds}` of the queued runs (of one tenant)."""
    query = AgentRun.select(fn.COUNT(AgentRun.id), fn.MIN(AgentRun.created_at)).where(
        AgentRun.finished_at.is_null(), AgentRun.status == RunStatus.QUEUED
    )
    if tenant_id is not None:
        query = query.where(AgentRun.tenant_id == tenant_id)
    depth, oldest = cast(tuple[int, float | None], query.tuples().get())
    return {"depth": depth, "oldestAgeSeconds": max(0.0, db.now() - oldest) if oldest else 0.0}


def count_by_status() -> dict[str, int]:
    """Return how many runs are in each state."""
    query = AgentRun.select(AgentRun.status, fn.COUNT(AgentRun.id)).group_by(AgentRun.status)
    return dict(cast(Any, query.tuples()))
