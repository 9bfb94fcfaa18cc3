"""The state of runs. The only writer of it: every change is one conditional UPDATE, side by side here (SPEC §2).

Reading runs for people is at the end. Creating them is in `run_creation`, driving them in `run_driver`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import peewee
from peewee import fn

from app import db
from app.domain.events import EventType, source
from app.domain.external import EXTERNAL
from app.domain.failure import Failure
from app.domain.run_state import RunStatus, sources_of
from app.errors import Conflict, LeaseLost
from app.models import AgentRun, RunCommand, RunEvent
from app.services import provider_breaker


@dataclass(frozen=True, slots=True)
class Claim:
    """A run taken for one lease. `turn`: it is to be driven; otherwise it was taken for a command alone.

    `lost_lease`: the lease before this one ran out, it was not handed back; `seq_before` is the run's last seq when that
    lease was taken. `counted`: by what SQL knows nothing came of it, and it was counted as a death in the claim itself, so that
    who dies at once counts too.
    """

    run: AgentRun
    turn: bool
    lost_lease: bool
    seq_before: int
    counted: bool


_AT_REST = {"lease_owner": None, "lease_until": None, "waiting_since": None, "sandbox_stopped_at": None}

# The best claimable run: the head of its session, one whose lease is over and that was not let go, or one with an unapplied
# command. What is bound to an external executor waits for its callbacks (commands) or for the end of the executor's time; what
# is meant for one and not bound yet waits for the binding. A message to a working agent waits where there is none.
_CLAIMABLE = """
SELECT r.id, r.lease_until, r.lease_seq,
       ({begun} OR ((r.bound_until IS NOT NULL OR ({startable} AND r.provider <> '{external}'
           AND (r.retry_at IS NULL OR r.retry_at <= {now}) AND NOT {blocked})) AND NOT EXISTS (
           SELECT 1 FROM agent_runs older WHERE older.session_id = r.session_id
           AND older.session_seq < r.session_seq AND older.finished_at IS NULL))) AS turn
FROM agent_runs r
WHERE r.finished_at IS NULL
  AND (r.lease_until IS NULL OR r.lease_until <= {now}) AND {elsewhere}
  AND (({begun} AND r.let_go_at IS NULL AND (r.bound_until IS NULL OR r.lease_until IS NOT NULL))
       OR r.bound_until <= {now}
       OR EXISTS (SELECT 1 FROM run_commands c WHERE c.run_id = r.id AND c.applied_seq IS NULL
           AND (c.kind <> 'steer' OR (r.status = 'waiting_human' AND r.sandbox_stopped_at IS NULL)))
       OR ({startable} AND r.bound_until IS NULL AND r.provider <> '{external}'
           AND r.status = 'queued' AND (r.retry_at IS NULL OR r.retry_at <= {now}) AND NOT {blocked} AND NOT EXISTS (
           SELECT 1 FROM agent_runs older WHERE older.session_id = r.session_id
           AND older.session_seq < r.session_seq AND older.finished_at IS NULL)))
ORDER BY r.priority DESC, r.id
LIMIT 1
"""
_ALL = {"begun": "r.status <> 'queued'", "startable": "1 = 1"}
_WITHOUT_STARTS = {"begun": "r.status NOT IN ('queued', 'claimed')", "startable": "1 = 0"}


def _claimable(*, starts: bool = True, full: Collection[str] = ()) -> str:
    words = {**(_ALL if starts else _WITHOUT_STARTS), "elsewhere": "1 = 1"}
    if full:
        others = "r.provider NOT IN ({})".format(", ".join(f"'{kind}'" for kind in sorted(full)))
        words |= {
            "startable": f"({words['startable']} AND {others})",
            "elsewhere": f"(r.status = 'queued' OR {others})",
        }
    now = db.clock().sql
    return _CLAIMABLE.format(now=now, blocked=provider_breaker.BLOCKED.format(now=now), external=EXTERNAL, **words)


def count_claimable(limit: int, tenant_id: str | None = None) -> int:
    """Look without a lock how many runs (of one tenant) a claim would find, up to `limit`."""
    database = db.proxy.obj
    sql = _claimable().replace("LIMIT 1", f"LIMIT {int(limit)}")
    if tenant_id is None:
        return len(database.execute_sql(sql).fetchall())
    sql = sql.replace(
        "WHERE r.finished_at IS NULL\n", f"WHERE r.finished_at IS NULL AND r.tenant_id = {database.param}\n"
    )
    return len(database.execute_sql(sql, (tenant_id,)).fetchall())


class _TrialTaken(Exception):
    """Another run of a provider that fails was let through at the same moment."""


def claim_next(owner: str, seconds: float, *, starts: bool = True, full: Collection[str] = ()) -> Claim | None:
    """Take the best claimable run for `seconds`; None where there is none. Without `starts` no attempt is to start: runs whose
    agent is not there yet are taken for their commands alone. Those of providers that are `full` are not driven here now."""
    if db.is_sqlite() and not count_claimable(1):
        return None  # spares the write lock: an idle worker must not make others wait
    while True:
        try:
            with db.transaction():
                return _claim(owner, seconds, _claimable(starts=starts, full=full), starts)
        except _TrialTaken:
            continue  # it is no candidate any more: look for the next one
        except peewee.IntegrityError:
            return None  # another run of the session became active at the same moment: the next bell finds what is left


def _candidate(sql: str, *, lock: bool) -> tuple[str, float | None, int, bool] | None:
    if lock and not db.is_sqlite():
        sql += " FOR NO KEY UPDATE OF r SKIP LOCKED"  # a new event or command of the run locks its key
    row = db.proxy.obj.execute_sql(sql).fetchone()
    return (row[0], row[1], row[2], bool(row[3])) if row else None


def _claim(owner: str, seconds: float, sql: str, may_start: bool) -> Claim | None:
    found = _candidate(sql, lock=True)
    if found is None:
        return None
    run_id, lease_until, lease_seq, turn = found
    run = AgentRun.get_by_id(run_id)
    starts = turn and run.status == RunStatus.QUEUED
    if starts and not provider_breaker.admit(run):
        raise _TrialTaken
    changes: dict[Any, Any] = {
        AgentRun.epoch: AgentRun.epoch + 1,
        AgentRun.lease_owner: owner,
        AgentRun.lease_until: db.clock() + seconds,
        AgentRun.lease_seq: AgentRun.last_seq + (1 if starts else 0),
        AgentRun.let_go_at: None,
    }
    if starts:
        now = db.now()
        changes |= {AgentRun.status: RunStatus.CLAIMED, AgentRun.claimed_at: now, AgentRun.retry_at: None}
        changes[AgentRun.last_seq] = AgentRun.last_seq + 1
        # Nothing of a queued run is only in Redis, so SQL's last seq is the last one there is.
        _insert_event(run, run.last_seq + 1, EventType.RUN_STATUS, {"status": RunStatus.CLAIMED}, now)
    lost = lease_until is not None and not starts
    died = lost and may_start and run.last_seq <= lease_seq and _may_die(run)  # on a full disk nobody can renew a lease
    if died:
        changes |= {AgentRun.failures: AgentRun.failures + 1, AgentRun.deaths: AgentRun.deaths + 1}
    AgentRun.update(changes).where(AgentRun.id == run_id).execute()
    return Claim(AgentRun.get_by_id(run_id), turn, lost, lease_seq, died)


def _may_die(run: AgentRun) -> bool:
    """A run that waits for a person, or for an external executor, is silent by nature."""
    return run.status != RunStatus.WAITING_HUMAN and run.bound_until is None


def _insert_event(run: AgentRun, seq: int, kind: str, data: Mapping[str, Any], now: float) -> None:
    RunEvent.insert(
        run_id=run.id,
        seq=seq,
        tenant_id=run.tenant_id,
        type=kind,
        ts=round(now, 3),
        src=source(run.attempt),
        data=dict(data),
    ).execute()


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
