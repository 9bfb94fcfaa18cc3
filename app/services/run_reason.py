"""Why a run is where it is, in words, and what a person can do about it. Facts come from `run_explanation`; nothing is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app import ids
from app.domain.external import EXTERNAL
from app.domain.failure import FailureCode
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest, ProviderBreaker, SessionWorker

LONG_SECONDS = 15.0
"""A claim, or a look at a lease that is over, normally takes well under this; beyond it somebody should look at the workers."""

_LOOK_AT_WORKERS = "Look whether workers live: make status. More threads: PADDOCK_WORKER_THREADS."
_NOTHING = "Nothing has to be done."


@dataclass(frozen=True, slots=True)
class Journal:
    """What the executor says of the agent of the current attempt. `last` is the end of its journal, `in_log` the last record that
    has events in the log; `exit` how the agent ended, as `code:0` or `signal:9`."""

    state: Literal["not_started", "running", "ended", "no_sandbox", "unreachable", "unknown"]
    agent_id: str | None = None
    last: int | None = None
    acknowledged: int | None = None
    in_log: int | None = None
    exit: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """`summary` says where the run is and what it waits for, `advice` what to do."""

    summary: str
    advice: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What the words are made of. `ahead`: unfinished earlier runs of the session, the oldest first; `requests`: those without an
    answer that reached the agent; `now` by the database's clock; `breaker` of its provider where that fails."""

    run: AgentRun
    worker: SessionWorker | None
    ahead: Sequence[AgentRun]
    requests: Sequence[HumanLoopRequest]
    journal: Journal
    now: float
    breaker: ProviderBreaker | None = None


def reason_of(situation: Situation) -> Reason:
    run = situation.run
    if run.finished_at is not None or run.bound_until is not None:
        return _finished(run) if run.finished_at is not None else _bound(run)
    if run.stop_requested_at is not None:
        return Reason(
            f"It was asked to stop at {_time(run.stop_requested_at)}: interrupt, SIGTERM, SIGKILL, then its files are saved.",
            _LOOK_AT_WORKERS if situation.now - run.stop_requested_at > LONG_SECONDS else _NOTHING,
        )
    if run.status == RunStatus.QUEUED:
        return _queued(situation)
    if run.status == RunStatus.WAITING_HUMAN:
        return _waiting(situation)
    if run.lease_until is None or run.lease_until <= situation.now:
        return _unheld(situation)
    return _claimed(situation) if run.status == RunStatus.CLAIMED else _running(situation)


def _bound(run: AgentRun) -> Reason:
    until = _time(run.bound_until or 0)
    return Reason(
        f"Executor {run.executor_id} works on it; it is given up unless it is heard of before {until}.",
        "Look at the executor. `paddock stop` asks it to end." if run.stop_requested_at is None else _NOTHING,
    )


def _finished(run: AgentRun) -> Reason:
    if run.failure_code:
        klass = f", {run.failure_class}" if run.failure_class else ""
        verb = "is blocked" if run.status == RunStatus.BLOCKED else "failed"
        return Reason(f"It {verb}: {run.failure_message} ({run.failure_code}{klass})", run.remedy or "")
    said = f": {run.stop_reason}" if run.stop_reason else ""
    return Reason(f"It {'was canceled' if run.status == RunStatus.CANCELED else run.status}{said}.", "")


def _queued(situation: Situation) -> Reason:
    run, ahead = situation.run, situation.ahead
    if ahead:
        first = ahead[0]
        count = "an earlier run" if len(ahead) == 1 else f"{len(ahead)} earlier runs"
        return Reason(
            f"It waits for {count} of its session; {first.id} comes first and is {first.status}.",
            f"See what that one does: paddock explain {first.id}",
        )
    if run.provider == EXTERNAL:
        return Reason("It waits for an external executor to bind it.", "Start the executor, or stop the run.")
    breaker = situation.breaker
    if breaker is not None and breaker.opened_at is not None:
        return Reason(
            f"Its provider fails since {_time(breaker.opened_at)} ({breaker.failure_code}); one run at a time tries whether it "
            f"works again, the next one from {_time(breaker.trial_at or 0)}.",
            breaker.remedy,
        )
    if run.retry_at is not None and run.retry_at > situation.now:
        return Reason(
            f"Attempt {run.attempt} did not end well; it is tried again at {_time(run.retry_at)}.",
            "Wait, or stop it: `failures` says what happened.",
        )
    since = max(run.created_at, run.retry_at or 0)
    waits_long = situation.now - since > LONG_SECONDS
    return Reason("The next free worker takes it.", _LOOK_AT_WORKERS if waits_long else _NOTHING)


def _waiting(situation: Situation) -> Reason:
    run, open_ = situation.run, [request for request in situation.requests if request.status == "open"]
    if not open_:
        expired = any(request.status == "expired" for request in situation.requests)
        what = "Nobody answered by the deadline; the denial" if expired else "It was answered; the answer"
        return Reason(
            f"{what} is on its way to the agent.",
            _LOOK_AT_WORKERS if _answered_long_ago(situation) else _NOTHING,
        )
    first = open_[0]
    meanwhile = ""
    if run.sandbox_stopped_at is not None:
        meanwhile = " Its agent is gone meanwhile, with its sandbox stopped or lost; the answer starts both again."
    elif run.let_go_at is not None:
        meanwhile = " No worker is held meanwhile; the answer wakes one."
    answer = "allow" if first.kind == "approval" else '"your answer"'
    if first.deadline_at is not None:
        late = first.deadline_at <= situation.now
        then = " Its policy denies it then." if first.on_deadline == "deny" else ""
        meanwhile += f" It {'is overdue since' if late else 'has until'} {_time(first.deadline_at)}.{then}"
    return Reason(f"It waits for a person: {first.title}.{meanwhile}", f"paddock reply {first.id} {answer}")


def _answered_long_ago(situation: Situation) -> bool:
    answered = [request.answered_at for request in situation.requests if request.answered_at is not None]
    return bool(answered) and situation.now - max(answered) > LONG_SECONDS


def _unheld(situation: Situation) -> Reason:
    run = situation.run
    if run.lease_until is None:
        return Reason("Its worker handed it back; the next free worker goes on with it.", _LOOK_AT_WORKERS)
    late = situation.now - run.lease_until > LONG_SECONDS
    return Reason(
        f"The worker that had it was last heard of before {_time(run.lease_until)}; another goes on where it was.",
        _LOOK_AT_WORKERS if late else _NOTHING,
    )


def _claimed(situation: Situation) -> Reason:
    state = f" (it is {situation.worker.status})" if situation.worker is not None else ""
    where = f"sandboxes/{situation.run.session_id}/executor.log"
    return Reason(
        f"Its sandbox is being made ready{state}, with the files of the session in it.",
        f"{_NOTHING} If it takes long: {where} below PADDOCK_VAR.",
    )


def _running(situation: Situation) -> Reason:
    journal = situation.journal
    if journal.state == "ended":
        return Reason(f"Its agent has ended ({journal.exit}); what it left is read and saved.", _NOTHING)
    if journal.state in ("unreachable", "no_sandbox"):
        return Reason(
            "Its sandbox does not answer; its worker finds out and tries again.",
            f"Look at sandboxes/{situation.run.session_id}/executor.log below PADDOCK_VAR.",
        )
    return Reason(
        f"Its agent works, in attempt {situation.run.attempt}.",
        "A model that thinks, or a command without output, is silent. `paddock stop` ends it.",
    )


def is_failure(code: object) -> bool:
    """True for a code that ends an attempt; warnings have other codes as well."""
    return code in set(FailureCode)


def _time(seconds: float) -> str:
    return ids.rfc3339_of(seconds)
