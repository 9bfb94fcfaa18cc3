"""What a run waits for that is not running: `waitingFor` of SPEC §2. Told from rows alone; words for people are in `run_reason`.

| reason | waits for | `since` |
|---|---|---|
| `session_busy` | earlier runs of its session; `position` is how many | it was created |
| `disk_full`, `redis_full`, … | room: no attempt starts meanwhile | it was created |
| `executor` | its external executor to bind itself | it was created |
| `provider_unavailable` | its provider, which fails: one run at a time tries it; `remedy` is what to do | it began to fail |
| `retry` | the time of its next attempt | its last attempt ended |
| `no_worker` | a worker process: none lives that takes runs | it became claimable |
| `worker` | a free worker; `position` is how many of the tenant's runs come first | it became claimable, or was handed back |
| `sandbox` | its sandbox to be made ready | it was claimed |
| `human` | a person | it asked |
| `delivery` | a worker to bring an answer to its agent | the answer |
"""

from __future__ import annotations

from typing import Any

from peewee import fn

from app import db
from app.domain.events import EventType
from app.domain.external import EXTERNAL
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest, RunEvent
from app.services import provider_breaker, worker_processes


def waiting_for(run: AgentRun, shortage: str | None = None) -> dict[str, Any] | None:
    """Return `{reason, position?, since}` (times in POSIX seconds); None for a run that is running or has ended. `shortage` is what
    there is too little room of now: it keeps attempts from starting."""
    if run.finished_at is not None or run.status == RunStatus.RUNNING:
        return None
    if run.status == RunStatus.WAITING_HUMAN:
        return _for_person(run)
    if run.status == RunStatus.CLAIMED:
        return _for_sandbox(run, shortage)
    return _in_queue(run, shortage)


def _in_queue(run: AgentRun, shortage: str | None) -> dict[str, Any]:
    ahead = _older(run)
    if ahead:
        return {"reason": "session_busy", "position": ahead, "since": run.created_at}
    if shortage is not None:
        return {"reason": shortage, "since": run.created_at}
    if run.provider == EXTERNAL and run.bound_until is None:
        return {"reason": "executor", "since": run.created_at}
    breaker = provider_breaker.find(run.tenant_id, run.provider)
    if breaker is not None and breaker.opened_at is not None:
        return {"reason": "provider_unavailable", "since": breaker.opened_at, "remedy": breaker.remedy}
    if run.retry_at is not None and run.retry_at > db.now():
        return {"reason": "retry", "since": _last_change(run)}
    return _for_worker(run, run.retry_at or _became_first(run))


def _for_person(run: AgentRun) -> dict[str, Any]:
    columns = (HumanLoopRequest.status, HumanLoopRequest.answered_at, HumanLoopRequest.deadline_at)
    query = HumanLoopRequest.select(*columns).where(
        HumanLoopRequest.run_id == run.id, HumanLoopRequest.closed_at.is_null()
    )
    open_ = list(query)
    if not open_ or any(request.status == "open" for request in open_):
        return {"reason": "human", "since": run.waiting_since}
    decided = [request.answered_at or request.deadline_at for request in open_]
    return {"reason": "delivery", "since": max(moment or 0.0 for moment in decided) or run.waiting_since}


def _for_sandbox(run: AgentRun, shortage: str | None) -> dict[str, Any]:
    if run.lease_until is not None and run.lease_until > db.now():
        return {"reason": "sandbox", "since": run.claimed_at}
    if shortage is not None:
        return {"reason": shortage, "since": run.claimed_at}
    return _for_worker(run, run.lease_until or run.claimed_at or run.created_at)


def _for_worker(run: AgentRun, since: float) -> dict[str, Any]:
    reason = "worker" if worker_processes.any_takes_runs() else "no_worker"
    return {"reason": reason, "position": _first_in_queue(run), "since": since}


def _older(run: AgentRun) -> int:
    """Return how many runs of its session come first."""
    query = AgentRun.select().where(
        AgentRun.session_id == run.session_id,
        AgentRun.session_seq < run.session_seq,
        AgentRun.finished_at.is_null(),
    )
    return int(query.count())


def _became_first(run: AgentRun) -> float:
    """Return when it became the first of its session: when it was created, or the one before it ended."""
    ended = AgentRun.select(fn.MAX(AgentRun.finished_at)).where(
        AgentRun.session_id == run.session_id, AgentRun.session_seq < run.session_seq
    )
    return max(float(run.created_at), float(ended.scalar() or 0.0))


def _first_in_queue(run: AgentRun) -> int:
    """Return how many runs of its tenant a worker would take first."""
    if run.status != RunStatus.QUEUED:
        return 0
    older = AgentRun.alias()
    first_of_session = ~fn.EXISTS(
        older.select().where(
            older.session_id == AgentRun.session_id,
            older.session_seq < AgentRun.session_seq,
            older.finished_at.is_null(),
        )
    )
    before = (AgentRun.priority > run.priority) | ((AgentRun.priority == run.priority) & (AgentRun.id < run.id))
    query = AgentRun.select().where(
        AgentRun.tenant_id == run.tenant_id,
        AgentRun.finished_at.is_null(),
        AgentRun.status == RunStatus.QUEUED,
        AgentRun.retry_at.is_null() | (AgentRun.retry_at <= db.clock()),
        before,
        first_of_session,
    )
    return int(query.count())


def _last_change(run: AgentRun) -> float:
    """Return when the run's state changed last."""
    query = RunEvent.select(RunEvent.ts).where(RunEvent.run_id == run.id, RunEvent.type == EventType.RUN_STATUS)
    row = query.order_by(RunEvent.seq.desc()).first()
    return float(row.ts if row is not None else run.created_at)
