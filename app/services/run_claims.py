"""Claiming: which run is the best to drive now, and taking it for one lease in one transaction (SPEC §2, ARCHITECTURE decision 2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import peewee

from app import db
from app.domain.events import EventType, source
from app.domain.external import EXTERNAL
from app.domain.run_state import RunStatus
from app.models import AgentRun, RunEvent
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


def count(limit: int, tenant_id: str | None = None) -> int:
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


def take_next(owner: str, seconds: float, *, starts: bool = True, full: Collection[str] = ()) -> Claim | None:
    """Take the best claimable run for `seconds`; None where there is none. Without `starts` no attempt is to start: runs whose
    agent is not there yet are taken for their commands alone. Those of providers that are `full` are not driven here now."""
    if db.is_sqlite() and not count(1):
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
