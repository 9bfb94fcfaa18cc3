"""How a run ends, or goes back into the queue for another attempt. Each way is one transaction of the log. SPEC §2."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from app import db
from app.config import Settings
from app.domain.events import NOT_STEERED, Draft, EventType
from app.domain.failure import Failure, FailureCode
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.log import logger
from app.models import AgentRun, RunCommand
from app.services import budgets, human_loop, metering, provider_breaker, run_launch, runs, steering
from app.services.event_log import RunLog
from app.services.run_attempt import Attempt, now_draft

RESUME_FAILED = "resume_failed"
_DEATHS = frozenset({FailureCode.SANDBOX_LOST, FailureCode.WORKER_LOST})


class MoreArrived(Exception):
    """An external executor reported something while its run was being ended: that belongs into the log first."""


class Said(Protocol):
    """What a run leaves at its end."""

    @property
    def usage(self) -> dict[str, Any]: ...

    @property
    def message(self) -> str | None: ...


_STOPPED = Outcome(RunStatus.CANCELED, "stopped")


class _SteerCame(Exception):
    """While a run was being ended somebody told its agent something."""


class _StopCame(Exception):
    """Between the end of the agent's turn and the end of its run somebody stopped it."""


class RunEnding:
    """The endings of one run under one lease."""

    def __init__(self, run_id: str, lease: Lease, log: RunLog, settings: Settings) -> None:
        self._run_id, self._lease, self._log, self._settings = run_id, lease, log, settings

    def cancel(self, why: str, commands: Sequence[RunCommand]) -> None:
        """End a run whose agent does not run, because somebody asked for it, or its budget did."""
        limit = budgets.limit_among(commands)
        if limit is not None:
            self.refuse(budgets.failure_for(limit))
            return
        self._seal(Outcome(RunStatus.CANCELED, why), None, commands)

    def refuse(self, failure: Failure) -> None:
        """End a run before its agent started: blocked where something required is missing, failed otherwise."""
        required = failure.code in (FailureCode.CAPABILITY_MISSING, FailureCode.REQUIRED_PATHS_MISSING)
        status = RunStatus.BLOCKED if required else RunStatus.FAILED
        self._seal(Outcome(status, failure.code, failure), None)

    def end_attempt(self, attempt: Attempt | None, outcome: Outcome) -> None:
        """The attempt is over: end the run, or try again later where that may help."""
        run = AgentRun.get_by_id(self._run_id)
        failure = outcome.failure
        if failure is None or run.stop_requested_at is not None:
            self._end_as_asked(outcome, attempt, run.stop_requested_at is not None)
            return
        failures = run.failures + 1
        deaths = run.deaths + (1 if failure.code in _DEATHS else 0)
        again = failure.may_retry or outcome.stop_reason == RESUME_FAILED
        if again and failures < self._settings.max_attempts:
            self._requeue(run, outcome, {"failures": failures, "deaths": deaths})
            return
        if again and deaths == failures:
            failure = Failure(FailureCode.POISON, f"Worker or sandbox died in each of {failures} attempts.")
        counters = {"failures": failures, "deaths": deaths}
        self._seal(Outcome(RunStatus.FAILED, outcome.stop_reason, failure), attempt, counters=counters)

    def end_external(self, outcome: Outcome, said: Said, commands: Sequence[RunCommand]) -> None:
        """End a run that an external executor had: there is no other attempt but a new binding. `commands` are those that this end
        answers; raises MoreArrived where others wait."""
        self._seal(outcome, said, commands)

    def _end_as_asked(self, outcome: Outcome, attempt: Said | None, stopped: bool) -> None:
        """Whoever was told that a run stops must not see it succeed: a stop that came before the end holds."""
        if not stopped:
            try:
                self._seal(outcome, attempt, unless_stopped=True)
            except _StopCame:
                stopped = True
        if stopped:
            self._seal(outcome if outcome.status == RunStatus.CANCELED else _STOPPED, attempt)

    def give_up_dead(self, kill_agent: Callable[[], None]) -> bool:
        """A lease ran out without a new event, and its claim counted that; True when it was once too often and the run has ended."""
        run = AgentRun.get_by_id(self._run_id)
        if run.failures < self._settings.max_attempts:
            return False
        kill_agent()
        failure = Failure(FailureCode.WORKER_LOST, f"The lease ran out without news {run.failures} times.")
        if run.deaths == run.failures:
            failure = Failure(FailureCode.POISON, f"Worker or sandbox died in each of {run.failures} attempts.")
        self._seal(Outcome(RunStatus.FAILED, failure.code, failure), None)
        return True

    # --- the two transactions --------------------------------------------------------------------------------------------

    def _requeue(self, run: AgentRun, outcome: Outcome, counters: dict[str, Any]) -> None:
        now = db.now()
        number = run.attempt
        retry_at = now + self._settings.retry_delay_ms / 1000 * max(1, number)
        fields: dict[str, Any] = dict(counters)
        if outcome.stop_reason == RESUME_FAILED:
            fields |= {"conversation_id": None, "launch": {**(run.launch or {}), "startFresh": True}}
        drafts = [
            *self._failure_drafts(outcome, number),
            *self._close_requests("superseded", number),
            now_draft(EventType.RUN_STATUS, {"status": RunStatus.QUEUED, "reason": _reason(outcome)}, number),
        ]

        def change(_: int) -> None:
            _resolve(drafts, now)
            runs.to_queued(run.id, self._lease.epoch, retry_at=retry_at, counters=fields)
            provider_breaker.note(run, outcome, self._settings)

        self._log.append(drafts, change)
        logger.info("run goes back to the queue", reason=_reason(outcome), retry_in_seconds=round(retry_at - now, 1))

    def _seal(self, *given: Any, **named: Any) -> None:
        while True:
            try:
                self._seal_once(*given, **named)
                return
            except _SteerCame:
                continue  # the log says that it came too late

    def _seal_once(
        self,
        outcome: Outcome,
        attempt: Said | None,
        commands: Sequence[RunCommand] = (),
        counters: dict[str, Any] | None = None,
        *,
        unless_stopped: bool = False,
    ) -> None:
        run = AgentRun.get_by_id(self._run_id)
        now, number = db.now(), run.attempt
        reported = attempt.usage if attempt is not None else run_launch.usage_so_far(run.id)
        usage = metering.settled(run, reported)
        finished: dict[str, Any] = {"status": outcome.status, "stopReason": outcome.stop_reason, "usage": usage}
        if outcome.failure is not None:
            finished |= {"failureCode": outcome.failure.code, "remedy": outcome.failure.advice}
        open_commands = [*commands] if run.bound_until is not None else [*commands, *runs.list_unapplied(run.id)]
        late = [command.id for command in open_commands if command.kind == steering.KIND]
        drafts = [
            *self._failure_drafts(outcome, number),
            *_late_drafts(late, number),
            *_mismatch_drafts(run, outcome, reported),
            *self._close_requests("canceled", number),
            now_draft(EventType.RUN_STATUS, {"status": outcome.status}, number),
            now_draft(EventType.RUN_FINISHED, finished, number),
            now_draft(EventType.RUN_CLOSED, {}, number),
        ]
        fields = {
            "stop_reason": outcome.stop_reason,
            "usage": usage,
            "message": attempt.message if attempt is not None else run.message,
            **(counters or {}),
            **runs.failure_fields(outcome.failure),
        }

        def change(last_seq: int) -> None:
            _resolve(drafts, now)
            _look_for_more(run, open_commands)
            for command_id in late:
                runs.settle_steer(command_id, "late", last_seq)
            runs.mark_applied(_ids(open_commands), last_seq)
            if unless_stopped and AgentRun.get_by_id(run.id).stop_requested_at is not None:
                raise _StopCame
            runs.to_terminal(run.id, self._lease.epoch, outcome.status, now=now, fields=fields)
            provider_breaker.note(run, outcome, self._settings)
            if usage:
                metering.log_usage(run, usage, now)

        self._log.seal(drafts, change)
        logger.info("run ended", status=outcome.status, stop_reason=outcome.stop_reason, attempt=number)

    def _failure_drafts(self, outcome: Outcome, number: int) -> list[Draft]:
        if outcome.failure is None:
            return []
        data = {"code": outcome.failure.code, "message": outcome.failure.message}
        return [now_draft(EventType.RUN_WARNING, data, number)]

    def _close_requests(self, how: str, number: int) -> list[Draft]:
        return [
            now_draft(EventType.HUMAN_LOOP_RESOLVED, human_loop.closed(request, how), number)
            for request in human_loop.list_undelivered(self._run_id)
        ]


def _look_for_more(run: AgentRun, known: Sequence[RunCommand]) -> None:
    """Raise where a command came that this end does not answer and must."""
    more = [command for command in runs.list_unapplied(run.id) if command.id not in set(_ids(known))]
    if more and run.bound_until is not None:
        raise MoreArrived
    if any(command.kind == steering.KIND for command in more):
        raise _SteerCame


def _late_drafts(command_ids: Sequence[str], attempt: int) -> list[Draft]:
    message = f"A message to the agent came too late: its turn had ended. {steering.REMEDY}"
    return [
        now_draft(EventType.RUN_WARNING, {"code": NOT_STEERED, "message": message, "commandId": command_id}, attempt)
        for command_id in command_ids
    ]


def _ids(commands: Sequence[RunCommand]) -> list[str]:
    return [command.id for command in commands]


def _resolve(drafts: Sequence[Draft], now: float) -> None:
    for draft in drafts:
        if draft.type == EventType.HUMAN_LOOP_RESOLVED:
            human_loop.resolved(draft.data, now)


def _reason(outcome: Outcome) -> str:
    return outcome.failure.code if outcome.failure is not None else outcome.stop_reason


def _mismatch_drafts(run: AgentRun, outcome: Outcome, reported: Mapping[str, Any]) -> list[Draft]:
    """Only an agent that came to its end by itself had the time to report all it used."""
    words = metering.mismatch(run, reported) if outcome.status == RunStatus.SUCCEEDED else None
    if words is None:
        return []
    return [now_draft(EventType.RUN_WARNING, {"code": "usage_mismatch", "message": words}, run.attempt)]
