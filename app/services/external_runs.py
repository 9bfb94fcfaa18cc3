"""Runs that an external executor works on, as web sees them: binding, the run's token, callbacks. SPEC §4, decision record 0010.

Nothing is written into a log here. A callback is a row in `run_commands` (decision 3) with the number of its arrival; a worker makes
events of it in its own epoch (`external_drive`).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import db
from app.config import Settings
from app.domain.events import EventType
from app.domain.external import EXTERNAL, TOKEN_PREFIX
from app.errors import Conflict, Unauthenticated
from app.models import AgentRun, ChatSession, HumanLoopRequest, RunCommand, RunToken
from app.ports import Bell
from app.services import run_creation, runs
from app.services.run_creation import NewRun

BIND = "bind"
ANSWER_READ = "answer.read"


@dataclass(frozen=True, slots=True)
class Binding:
    """A run that is an executor's. `token` opens this run's callbacks and nothing else; it is shown this once."""

    run: AgentRun
    epoch: int
    token: str


@dataclass(frozen=True, slots=True)
class Bound:
    """Who calls back: the run of the token, and the epoch in which it was bound when the token was given."""

    run: AgentRun
    epoch: int


@dataclass(frozen=True, slots=True)
class Callback:
    """What an executor reports. `data` is that of the event; `ts` POSIX seconds."""

    event_id: str
    type: str
    ts: float
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """A callback that is in the journal. `seq` is the log's position once it took effect, None before."""

    duplicate: bool
    seq: int | None


def bind(
    run: AgentRun, executor_id: str, settings: Settings, bell: Bell, in_transaction: Callable[[], None] = lambda: None
) -> Binding:
    """Bind a run to an executor. The same executor gets the same epoch again, another one the next: then tokens of the one before
    are worth nothing. Raises Conflict `run_closed`, `run_active` (our own agent has it), `session_busy`."""
    with db.transaction():
        epoch = None
        if not is_bound_to(run, executor_id):
            _require_turn(run)
            epoch = runs.bind(run.id, executor_id, settings.external_silence_seconds)
            if epoch is not None:
                told = {"type": BIND, "executorId": executor_id}
                _arrive(Bound(run, epoch), f"bind:{epoch}", told, settings)
        now = AgentRun.get_by_id(run.id)
        if epoch is None and not is_bound_to(now, executor_id):
            raise _not_to_be_bound(now)
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        RunToken.insert(
            token_hash=_hash(token),
            tenant_id=run.tenant_id,
            run_id=run.id,
            bind_epoch=now.bind_epoch,
            created_at=db.clock(),
        ).execute()
        in_transaction()
    bell.ring_command(run.id)
    return Binding(now, now.bind_epoch, token)


def is_bound_to(run: AgentRun, executor_id: str) -> bool:
    return bool(
        run.bound_until is not None
        and run.executor_id == executor_id
        and run.finished_at is None
        and run.executor_done_at is None
    )


def create(run_id: str, session: ChatSession, user_id: str, prompt: str, bell: Bell) -> AgentRun:
    """Make the run that an executor brings along. Raises Conflict `run_exists`."""
    new = NewRun(session.tenant_id, user_id, session.id, EXTERNAL, prompt, run_id=run_id)
    return run_creation.create(new, bell)


def authenticate(token: str, run_id: str) -> Bound:
    """Return the run that this token is for; raises Unauthenticated unless it is this one."""
    row: RunToken | None = RunToken.get_or_none(RunToken.token_hash == _hash(token), RunToken.run_id == run_id)
    if row is None:
        raise Unauthenticated("unauthenticated", "A token of this run is needed; binding the run gives one.")
    return Bound(AgentRun.get_by_id(row.run_id), row.bind_epoch)


def take(bound: Bound, callback: Callback, settings: Settings, bell: Bell) -> Taken:
    """Take a callback into the journal, once. Raises Conflict `bind_superseded`, `run_closed`."""
    run = bound.run
    require_current(bound)
    with db.transaction():
        known = _find(run.id, callback.event_id)
        if known is None:
            payload = {"type": callback.type, "ts": callback.ts, "data": dict(callback.data)}
            is_last = callback.type == EventType.RUN_FINISHED
            if not _arrive(bound, callback.event_id, payload, settings, is_last=is_last):
                known = _find(run.id, callback.event_id)  # the same callback came twice at once
                if known is None:
                    raise _refused(bound)
    if known is not None:
        return Taken(True, known.applied_seq)
    bell.ring_command(run.id)
    return Taken(False, None)


def find_seq(run_id: str, event_id: str) -> int | None:
    """Return the log's position at which a callback took effect; None while it waits."""
    known = _find(run_id, event_id)
    return None if known is None else known.applied_seq


def hand_out(bound: Bound, settings: Settings, bell: Bell, *, all_of_them: bool) -> list[dict[str, Any]]:
    """Return what people answered, `{requestId, outcome, by, reply}`. The first time an answer is handed out is its delivery; with
    `all_of_them` those that were delivered before come again, for an executor that lost what it was told."""
    query = HumanLoopRequest.select().where(
        HumanLoopRequest.run_id == bound.run.id, HumanLoopRequest.status.in_(["answered", "expired"])
    )
    found: Sequence[HumanLoopRequest] = list(query.order_by(HumanLoopRequest.created_at))
    new = [request for request in found if request.closed_at is None]
    if new and bound.run.finished_at is None:
        with db.transaction():
            for request in new:
                payload = {"type": ANSWER_READ, "requestId": request.id}
                _arrive(bound, f"read:{request.id}", payload, settings)
        bell.ring_command(bound.run.id)
    return [_answer(request) for request in (found if all_of_them else new)]


def touch(bound: Bound, settings: Settings) -> None:
    """The executor was heard of."""
    with db.transaction():
        runs.note_arrival(bound.run.id, bound.epoch, settings.external_silence_seconds)


def require_current(bound: Bound) -> None:
    """Raise Conflict `bind_superseded` where the run is another executor's meanwhile."""
    if AgentRun.get_by_id(bound.run.id).bind_epoch != bound.epoch:
        raise _refused(bound)


# --- inside ------------------------------------------------------------------------------------------------------------------


def _arrive(bound: Bound, key: str, payload: Mapping[str, Any], settings: Settings, *, is_last: bool = False) -> bool:
    """Write what arrived, in the order of the run's row lock; False where it is known, or the run takes nothing any more."""
    silence = settings.external_silence_seconds
    arrival = runs.note_arrival(bound.run.id, bound.epoch, silence, is_last=is_last)
    return arrival is not None and run_creation.add_arrival(bound.run, key, payload, arrival)


def _find(run_id: str, event_id: str) -> RunCommand | None:
    found: RunCommand | None = RunCommand.get_or_none(RunCommand.run_id == run_id, RunCommand.command_key == event_id)
    return found


def _require_turn(run: AgentRun) -> None:
    """A session runs one run at a time, whoever executes them."""
    older = (AgentRun.session_seq < run.session_seq) & AgentRun.finished_at.is_null()
    if AgentRun.select().where(AgentRun.session_id == run.session_id, older).exists():
        raise Conflict(
            "session_busy",
            "Earlier runs of the session have not ended.",
            remedy="Bind the run when they have: `waitingFor.position` of the run is 0 then.",
        )


def _refused(bound: Bound) -> Conflict:
    run = AgentRun.get_by_id(bound.run.id)
    if run.bind_epoch != bound.epoch:
        return Conflict(
            "bind_superseded",
            f"The run is executor {run.executor_id}'s since epoch {run.bind_epoch}; this token is of epoch {bound.epoch}.",
            remedy="Stop working on this run, or bind it again.",
        )
    return _closed(run)


def _not_to_be_bound(run: AgentRun) -> Conflict:
    if run.finished_at is not None or run.executor_done_at is not None:
        return _closed(run)
    return Conflict(
        "run_active",
        f"A worker of Paddock has this run: it is {run.status}.",
        remedy="Bind a run while it is queued; one with provider `external` waits for that.",
    )


def _closed(run: AgentRun) -> Conflict:
    if run.finished_at is None:
        return Conflict("run_closed", "The end of this run was reported; nothing is taken after it.")
    why = run.failure_message or run.stop_reason or run.failure_code or ""
    said = f" ({why})" if why else ""
    return Conflict("run_closed", f"The run has ended: {run.status}{said}.")


def _answer(request: HumanLoopRequest) -> dict[str, Any]:
    reply = request.reply if request.reply is not None else {"decision": "deny"}
    return {"requestId": request.id, "outcome": request.status, "by": request.replied_by, "reply": reply}


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
