"""What a run of a provider would lack, checked one by one; and the trial call, which has the agent itself answer a message."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app import db
from app.domain.events import EventType
from app.domain.failure import Failure, FailureCode
from app.domain.permissions import Principal
from app.domain.prices import ESTIMATE
from app.domain.run_state import RunStatus
from app.errors import Unavailable
from app.models import AgentRun, ChatSession, RunEvent
from app.ports import Provider, Readiness
from app.providers.footprint import LOGIN_REMEDY, Credential, credentials_of
from app.services import provider_breaker, run_creation, sessions, worker_processes
from app.services.run_creation import NewRun, NewSession
from web.parts import Parts
from web.schemas.providers import Check, TrialView
from web.waiting import wait_for

PROMPT = "This is a test of the connection. Reply with the word OK and nothing else. Use no tools."
SECONDS = 120
"""The longest that a trial run works."""
FIRST = 100
"""Its priority: before what waits in the queue."""
STOP_MS = 10_000

_NO_WORKER = "Start them (`make up`), or look at them: make status."


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at: a provider, for a tenant, with the model that a run would name."""

    provider: Provider
    tenant_id: str
    model: str | None


def credentials(parts: Parts, kind: str) -> list[Credential]:
    settings = parts.settings
    return credentials_of(kind, settings.provider_settings, settings.claude_code_oauth_token, Path.home())


def look(parts: Parts, subject: Subject) -> Iterator[Check]:
    """Check all that can be seen without a call of the model."""
    ready = parts.readiness.look(subject.provider.kind)
    yield _executor(parts)
    yield from _binary(ready)
    yield _credentials(parts, subject, ready)
    yield _model(parts, subject)
    yield breaker(subject)


def _executor(parts: Parts) -> Check:
    try:
        parts.container.check_executor_host()
    except Unavailable as error:
        return _failed("executor", Failure(FailureCode.SETUP_FAILED, error.message, error.remedy or ""))
    if not worker_processes.any_takes_runs():
        return _failed("executor", Failure(FailureCode.WORKER_LOST, "No worker lives that takes runs.", _NO_WORKER))
    return Check(name="executor", ok=True, message="a worker takes runs")


def _binary(ready: Readiness) -> Iterator[Check]:
    failure = ready.failure
    if failure is not None and failure.code == FailureCode.SETUP_FAILED:
        yield _failed("binary" if ready.version is None else "version", failure)
        return
    yield Check(name="binary", ok=True, message=ready.binary or "none is needed")
    yield Check(name="version", ok=True, message=ready.version or "not known")


def _credentials(parts: Parts, subject: Subject, ready: Readiness) -> Check:
    found = credentials(parts, subject.provider.kind)
    told = ", ".join(map(str, found))
    failure = ready.failure
    if failure is None or failure.code != FailureCode.AUTH_MISSING:
        return Check(name="credentials", ok=True, message=told or "none is needed")
    remedy = f"{LOGIN_REMEDY} {failure.advice}" if found else failure.advice
    return _failed("credentials", Failure(failure.code, f"{failure.message} There is: {told or 'nothing'}.", remedy))


def _model(parts: Parts, subject: Subject) -> Check:
    model = subject.provider.model(subject.model, parts.settings.provider_settings)
    if model is None:
        return Check(name="model", ok=True, message="the agent's own default")
    if subject.provider.kind == "scripted":
        return Check(name="model", ok=True, message=model)
    price = parts.container.prices.find(model)
    if price is not None and price.source != ESTIMATE:
        return Check(name="model", ok=True, message=model)
    if price is not None:
        remedy = "Give it the price that you pay (PADDOCK_MODEL_PRICES)."
        return Check(name="model", ok=True, message=f"{model}; its price is an estimate", remedy=remedy)
    remedy = "Give it a price (PADDOCK_MODEL_PRICES), or limit runs by budget.maxTokens."
    return Check(
        name="model", ok=True, message=f"{model}; it has no known price, so its cost is not told", remedy=remedy
    )


def breaker(subject: Subject) -> Check:
    row = provider_breaker.find(subject.tenant_id, subject.provider.kind)
    if row is None or row.opened_at is None:
        return Check(name="breaker", ok=True, message="runs start")
    message = f"It failed {row.failures} times in a row; its runs wait, and one at a time tries."
    return _failed("breaker", Failure(FailureCode(row.failure_code), message, row.remedy))


def _failed(name: str, failure: Failure) -> Check:
    return Check(
        name=name,
        ok=False,
        message=failure.message,
        remedy=failure.advice,
        failure_code=failure.code,
        failure_class=failure.kind.failure_class,
        retryable=failure.may_retry,
    )


# --- the trial call ----------------------------------------------------------------------------------------------------------


def try_out(parts: Parts, principal: Principal, subject: Subject, timeout_ms: int) -> tuple[Check, TrialView]:
    """Have the agent answer one message as a run in a chat of its own, by the path of every other run: worker, sandbox, binary, model
    proxy, model. It may use no tool unasked, goes before what is queued, and is stopped when the time is over."""
    began = time.monotonic()
    new = NewRun(
        principal.tenant_id,
        principal.user_id,
        NewSession(title="Preflight"),
        subject.provider.kind,
        PROMPT,
        model=subject.model,
        options={"resume": False, "budget": {"maxSeconds": SECONDS}},
        priority=FIRST,
    )
    provider_breaker.hasten(subject.tenant_id, subject.provider.kind)
    run = run_creation.create(new, parts.container.bell)
    seen = wait_for(lambda: _settled(run.id), timeout_ms) or AgentRun.get_by_id(run.id)
    seconds = round(time.monotonic() - began, 3)
    check = _told(seen, seconds)
    if seen.finished_at is None:
        _stop(parts, run)
        seen = wait_for(lambda: _finished(run.id), STOP_MS) or AgentRun.get_by_id(run.id)
    if seen.finished_at is not None:
        sessions.delete(ChatSession.get_by_id(run.session_id))
    usage = {name: value for name, value in (seen.usage or {}).items() if isinstance(value, int | float)}
    return check, TrialView(run_id=run.id, status=seen.status, seconds=seconds, usage=usage)


def _told(run: AgentRun, seconds: float) -> Check:
    if run.status == RunStatus.SUCCEEDED:
        cost = (run.usage or {}).get("costUsd")
        price = f"${cost:.6f}" if cost is not None else "a cost that is not known"
        return Check(name="trialCall", ok=True, message=f"the model answered in {seconds:.1f} s, for {price}")
    failure = _failure_of(run)
    if failure is None:
        message = f"There was no answer in {seconds:.0f} s; the run was {run.status}."
        failure = Failure(FailureCode.TIMED_OUT, message, f"See why: paddock explain {run.id}")
    return _failed("trialCall", failure)


def _failure_of(run: AgentRun) -> Failure | None:
    """Return why a run failed, or its first attempt."""
    if run.failure_code:
        message = run.failure_message or "It failed."
        return Failure(FailureCode(run.failure_code), message, run.remedy or "", bool(run.retryable))
    warnings = RunEvent.select(RunEvent.data).where(RunEvent.run_id == run.id, RunEvent.type == EventType.RUN_WARNING)
    told = [
        warning.data
        for warning in list(warnings.order_by(RunEvent.seq))
        if warning.data.get("code") in set(FailureCode)
    ]
    return Failure(FailureCode(told[-1]["code"]), str(told[-1]["message"])) if told else None


def _settled(run_id: str) -> AgentRun | None:
    """Return the run once it has ended, failed for the first time or waits for a person: there is no more to learn from it."""
    run: AgentRun = AgentRun.get_by_id(run_id)
    return run if run.finished_at is not None or run.failures or run.status == RunStatus.WAITING_HUMAN else None


def _finished(run_id: str) -> AgentRun | None:
    found: AgentRun | None = AgentRun.get_or_none(AgentRun.id == run_id, AgentRun.finished_at.is_null(False))
    return found


def _stop(parts: Parts, run: AgentRun) -> None:
    with db.transaction():
        run_creation.add_command(run.tenant_id, run.id, "stop", "stop", {"by": run.user_id, "reason": "preflight"})
    parts.container.bell.ring_command(run.id)
    parts.container.bell.ring_runs()
