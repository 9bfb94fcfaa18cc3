"""Following one agent: records from its journal into the run's log, commands of people to the agent, until the journal is closed.
ARCHITECTURE, life of a run, steps 5 to 8."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.journal import Record
from app.domain.lease import Lease
from app.domain.turn import Outcome
from app.log import in_this_context
from app.models import AgentRun, RunCommand
from app.ports import AGENT_EXITED, Executor, ExecutorError
from app.services import budgets, provider_breaker, runs, steering
from app.services.event_log import RunLog
from app.services.inbox import Inbox, Item, JournalEnded, Wake
from app.services.progress import Progress
from app.services.run_attempt import Attempt
from app.services.run_escalation import Escalation
from app.services.run_limits import RunLimits
from app.services.run_pause import RunPause
from app.services.run_sync import RunSync

FLUSH_SECONDS = 0.5
TICK_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class FollowParts:
    """What the driver of a lease lends. `check_stopping` raises where the process is to stop; `silence_seconds` is how long an agent
    may be silent."""

    lease: Lease
    log: RunLog
    inbox: Inbox
    escalation: Escalation
    sync: RunSync
    pause: RunPause
    progress: Progress
    check_stopping: Callable[[], None]
    silence_seconds: float


class Following:
    """One agent, followed for one lease."""

    def __init__(self, run: AgentRun, attempt: Attempt, executor: Executor, parts: FollowParts) -> None:
        self._run, self._attempt, self._executor, self._parts = run, attempt, executor, parts
        self._limits = RunLimits(run, attempt, parts.silence_seconds)
        self._is_proven = False

    def follow(self) -> Outcome | None:
        """Take records until the journal is closed; return how the attempt ended. Raises ExecutorError where the executor goes away,
        LetGo where the run waits for a person for long."""
        parts, attempt = self._parts, self._attempt
        self._read_journal()
        self._apply_commands()
        while True:
            item = parts.inbox.get(parts.escalation.within(TICK_SECONDS))
            parts.progress.turned("threads")
            parts.check_stopping()
            parts.lease.require()
            match item:
                case Record():
                    self._take(item)
                case Wake():
                    self._apply_commands()
                    parts.sync.report(attempt.number)
                case JournalEnded(error=None):
                    return self._limits.final(attempt.outcome)
                case JournalEnded(error=error):
                    raise error or AssertionError
            if self._limits.check():
                parts.escalation.arm(hasten=True)
            self._tick(item)

    def _read_journal(self) -> None:
        inbox, name, executor = self._parts.inbox, self._attempt.agent_id, self._executor

        def read() -> None:
            try:
                for record in executor.follow(name, 0):
                    if not inbox.put_record(record):
                        return
            except Exception as error:  # noqa: BLE001 - handed over to the driver, which decides
                inbox.put_end(error)
            else:
                inbox.put_end(None)

        threading.Thread(target=in_this_context(read), name=f"journal-{name}", daemon=True).start()

    def _take(self, record: Record) -> None:
        parts, attempt = self._parts, self._attempt
        parts.log.join(parts.inbox.has_record)
        if attempt.take(record) and attempt.outcome is None:
            parts.sync.request()
        self._watch_ending(record)
        self._limits.saw(record)
        if attempt.has_called_tools and not self._is_proven:
            self._is_proven = True
            provider_breaker.prove(self._run)

    def _watch_ending(self, record: Record) -> None:
        """The turn is over, or somebody wants it to be: after a while the agent is made to end."""
        escalation = self._parts.escalation
        if record.kind == "exit":
            escalation.disarm()
        elif self._attempt.outcome is not None:
            escalation.arm(terminated=True)  # SIGTERM was the adapter's intent
        elif self._run.stop_requested_at is not None:  # an earlier holder may have applied the stop
            escalation.arm()

    def _tick(self, item: Item | None) -> None:
        parts, attempt = self._parts, self._attempt
        parts.log.flush_due(FLUSH_SECONDS)
        parts.sync.tick()
        parts.escalation.tick(self._executor, attempt.agent_id)
        busy = parts.escalation.is_armed or not parts.sync.is_settled or attempt.is_steering
        if isinstance(item, Record) or busy:
            parts.pause.heard()
        elif item is None:
            parts.pause.let_go_if_silent(attempt, self._executor)

    # --- commands ------------------------------------------------------------------------------------------------------------

    def _apply_commands(self) -> None:
        for command in runs.list_unapplied(self._run.id):
            self._parts.pause.heard()
            try:
                self._apply(command)
            except ExecutorError as error:
                if error.code != AGENT_EXITED:
                    raise
            if command.kind != steering.KIND:  # that is applied by the agent's word that it has it
                runs.mark_applied([command.id], self._parts.log.last_seq)

    def _apply(self, command: RunCommand) -> None:
        attempt = self._attempt
        if command.kind == "stop":
            limit = budgets.limit_of(command)
            if limit is not None:
                self._limits.order(limit)
            else:
                attempt.control(f"stop:{command.id}", {"type": "stop", **command.payload})
            self._parts.escalation.arm()
        elif command.kind == "answer":
            attempt.control(command.command_key, {"type": "answer", "delivery": "live", **command.payload})
        elif command.kind == steering.KIND:
            attempt.steer(command)
        elif command.kind == "expire":
            attempt.control(command.command_key, {"type": "expire", **command.payload})
