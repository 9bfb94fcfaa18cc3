"""All there is to know of one run for whoever asks why: its row, its attempts and failures, what was wished of it and asked by it,
and what its executor says. Reads only; the sandbox is asked, never started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import peewee

from app import db
from app.domain.events import EventType
from app.domain.journal import agent_id
from app.errors import AppError
from app.models import AgentRun, HumanLoopRequest, RunCommand, RunEvent, SessionWorker
from app.ports import ExecutorError
from app.services import log_rows, provider_breaker, worker_rows
from app.services.run_reason import Journal, Reason, Situation, is_failure, reason_of
from app.services.session_workers import SessionWorkers

MOST = 100
"""Commands, requests and attempts that are told, the newest."""

_CALLBACK = "external"
_TOLD = (EventType.RUN_STARTED, EventType.CONTEXT_RESTORED, EventType.RUN_STATUS, EventType.RUN_WARNING)


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """One start of the agent. `context` is how it began (`fresh`, `native_resume`); the end is that of the attempt: `status` is what
    the run became, `code` and `message` why it failed."""

    attempt: int
    seq: int
    started_at: float
    provider: str | None = None
    model: str | None = None
    context: str | None = None
    ended_at: float | None = None
    status: str | None = None
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class LastInput:
    """What the agent was given last."""

    kind: Literal["message", "answer", "stop", "steer"]
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class CallbackFacts:
    """What an external executor has called back, in one line: there may be thousands. `waiting` were not taken up yet."""

    count: int
    waiting: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True)
class Explanation:
    run: AgentRun
    reason: Reason
    worker: SessionWorker | None
    journal: Journal
    attempts: Sequence[AttemptFacts]
    commands: Sequence[RunCommand]
    callbacks: CallbackFacts | None
    requests: Sequence[HumanLoopRequest]
    last_input: LastInput | None
    now: float


def explain(run: AgentRun, session_workers: SessionWorkers) -> Explanation:
    """Gather what is known of a run. A sandbox that does not answer is a fact, no error."""
    journal = _journal(run, session_workers)
    worker = worker_rows.find(run.session_id)
    attempts = _attempts(run.id)
    commands = _newest(RunCommand, run.id, RunCommand.id, RunCommand.kind != _CALLBACK)
    requests = _newest(HumanLoopRequest, run.id, HumanLoopRequest.created_at)
    undelivered = [request for request in requests if request.closed_at is None]
    now = db.now()
    breaker = provider_breaker.find(run.tenant_id, run.provider)
    return Explanation(
        run=run,
        reason=reason_of(Situation(run, worker, _ahead(run), undelivered, journal, now, breaker)),
        worker=worker,
        journal=journal,
        attempts=attempts,
        commands=commands,
        callbacks=_callbacks(run.id),
        requests=requests,
        last_input=_last_input(run, attempts, commands, requests),
        now=now,
    )


def _journal(run: AgentRun, session_workers: SessionWorkers) -> Journal:
    if not run.attempt:
        return Journal("not_started")
    name, in_log = agent_id(run.id, run.attempt), log_rows.last_record(run.id, run.attempt)
    try:
        executor = session_workers.connect(run.session_id)
        state = executor.find_agent(name) if executor is not None else None
    except (ExecutorError, AppError, OSError) as error:
        return Journal("unreachable", name, in_log=in_log, error=str(error))
    if executor is None:
        return Journal("no_sandbox", name, in_log=in_log)
    if state is None:
        return Journal("unknown", name, in_log=in_log)
    word: Literal["running", "ended"] = "running" if state.running else "ended"
    return Journal(word, name, state.last, state.acknowledged, in_log, state.exit)


def _ahead(run: AgentRun) -> list[AgentRun]:
    if run.finished_at is not None:
        return []
    earlier = AgentRun.select().where(
        AgentRun.session_id == run.session_id, AgentRun.session_seq < run.session_seq, AgentRun.finished_at.is_null()
    )
    return list(earlier.order_by(AgentRun.session_seq))


def _newest(table: Any, run_id: str, order: Any, *which: Any) -> list[Any]:
    """Return the newest rows of a run, in the order they came."""
    return list(table.select().where(table.run_id == run_id, *which).order_by(order.desc()).limit(MOST))[::-1]


def _callbacks(run_id: str) -> CallbackFacts | None:
    at, mine = RunCommand.created_at, (RunCommand.run_id == run_id) & (RunCommand.kind == _CALLBACK)
    facts = RunCommand.select(peewee.fn.COUNT(RunCommand.id), peewee.fn.MIN(at), peewee.fn.MAX(at)).where(mine)
    found: Any = facts.tuples().get()
    count, first_at, last_at = found
    if not count:
        return None
    waiting = RunCommand.select().where(mine, RunCommand.applied_seq.is_null()).count()
    return CallbackFacts(count, waiting, first_at, last_at)


def _attempts(run_id: str) -> list[AttemptFacts]:
    """Return the attempts as the log tells them."""
    query = RunEvent.select().where(RunEvent.run_id == run_id, RunEvent.type.in_([str(kind) for kind in _TOLD]))
    told: dict[int, dict[str, Any]] = {}
    for event in query.order_by(RunEvent.seq):
        number = int(event.src.partition(":")[0])
        facts = told.setdefault(number, {})
        if event.type == EventType.RUN_STARTED:
            facts |= {"attempt": number, "seq": event.seq, "started_at": event.ts}
            facts |= {"provider": event.data.get("provider"), "model": event.data.get("model")}
        elif event.type == EventType.CONTEXT_RESTORED:
            facts["context"] = event.data.get("mode")
        elif event.type == EventType.RUN_WARNING and is_failure(event.data.get("code")):
            facts |= {"code": event.data["code"], "message": event.data.get("message")}
        elif event.type == EventType.RUN_STATUS and event.data["status"] not in ("claimed", "running", "waiting_human"):
            facts |= {"ended_at": event.ts, "status": event.data["status"]}
    return [AttemptFacts(**facts) for facts in told.values() if "attempt" in facts][-MOST:]


def _last_input(
    run: AgentRun,
    attempts: Sequence[AttemptFacts],
    commands: Sequence[RunCommand],
    requests: Sequence[HumanLoopRequest],
) -> LastInput | None:
    given = [LastInput("message", attempt.started_at, run.prompt) for attempt in attempts[-1:]]
    given += [
        LastInput("answer", request.delivered_at, f"{request.title}: {_said(request.reply or {})}")
        for request in requests
        if request.delivered_at is not None
    ]
    for command in commands:
        if command.applied_seq is not None and command.kind in ("stop", "steer"):
            text = str(command.payload.get("reason") or command.payload.get("text") or "")
            kind: Literal["stop", "steer"] = "stop" if command.kind == "stop" else "steer"
            given.append(LastInput(kind, command.created_at, text))
    return max(given, key=lambda each: each.at, default=None)


def _said(reply: dict[str, Any]) -> str:
    words = [str(reply[name]) for name in ("decision", "message") if reply.get(name)]
    words += [", ".join(answers) for answers in (reply.get("answers") or {}).values()]
    return "; ".join(words)
