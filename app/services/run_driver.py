"""One lease of a run, from claim to hand-back: the life of a run as ARCHITECTURE tells it, steps 3 to 10.

How an agent is followed is in `run_following`, what its records mean in `run_attempt`; how a run ends or is tried again in
`run_ending`; syncing beside the run in `run_sync`.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

import peewee

from app import trace
from app.config import Settings
from app.domain.events import EventType
from app.domain.failure import Failure, FailureCode
from app.domain.journal import agent_id
from app.domain.lease import Lease
from app.domain.redaction import Redactor
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.errors import AppError, LeaseLost, Unavailable
from app.log import logger
from app.models import AgentRun, ChatSession
from app.ports import (
    AgentStart,
    Bell,
    EventStream,
    Executor,
    ExecutorError,
    ObjectStore,
    Provider,
    Providers,
)
from app.services import model_access, run_claims, run_launch, runs, steering
from app.services.counting import Counters
from app.services.event_log import RunLog
from app.services.external_drive import ExternalDrive, ExternalParts
from app.services.inbox import Inbox
from app.services.lease_keeper import LeaseKeeper
from app.services.progress import Progress
from app.services.run_attempt import Attempt, AttemptParts, now_draft
from app.services.run_blobs import RunBlobs
from app.services.run_ending import RunEnding
from app.services.run_escalation import Escalation, send_signal
from app.services.run_following import TICK_SECONDS, Following, FollowParts
from app.services.run_output import RunOutput
from app.services.run_pause import LetGo, RunPause
from app.services.run_start import RunStart
from app.services.run_sync import RunSync
from app.services.session_workers import Ready, SessionWorkers
from app.services.watermarks import NO_ROOM, Watermarks

SANDBOX_TRIES = 3
ROOM_SECONDS = 1.0
AWAY_SECONDS, AWAY_PAUSE_SECONDS = 120.0, 2.0
"""How long the start of a sandbox waits for what is away, and between two tries."""
AWAY = ("store_unavailable", "executor_host_unavailable", "database_unavailable")
"""What may be away for a while: that is no fault of the run's."""
NO_SPACE_STATUS = 507
"""How an executor says that its disk is full."""

_LOST_SANDBOX = Outcome(
    RunStatus.FAILED, "sandbox_lost", Failure(FailureCode.SANDBOX_LOST, "The sandbox is gone, and its agent with it.")
)


class HandBack(Exception):
    """The process is told to stop: give the lease back at once."""


class _NoRoom(Exception):
    """Something failed because there is too little room: it is no fault of the run's, and is tried again."""


class _Canceled(Exception):
    """The run was stopped while its sandbox was being made ready, and has ended."""


@dataclass(frozen=True, slots=True)
class DriverParts:
    """What every driver of a process shares. `stopping` is set when the process is to hand back its leases."""

    settings: Settings
    stream: EventStream
    store: ObjectStore
    bell: Bell
    providers: Providers
    session_workers: SessionWorkers
    keeper: LeaseKeeper
    counters: Counters
    progress: Progress
    watermarks: Watermarks
    stopping: threading.Event


class RunDriver:
    """Drives one claimed run for one lease."""

    def __init__(self, claim: run_claims.Claim, lease: Lease, parts: DriverParts) -> None:
        self._claim, self._lease, self._parts = claim, lease, parts
        self._run: AgentRun = claim.run
        self._inbox = Inbox()
        self._escalation = Escalation(lease, parts.settings.stop_grace_seconds)
        self._generation = 0
        self._looked_at = 0.0  # for a stop, while the sandbox is made ready

    def wake(self) -> None:
        """A command may have come, a sync has ended, or the process is to stop. From any thread."""
        self._inbox.wake()

    def give_up_lease(self) -> None:
        """Hand the lease back from outside, while the driver is in the middle of something long: it may write nothing more."""
        self._lease.lose()
        runs.hand_back(self._run.id, self._lease.epoch)

    def drive(self) -> None:
        """Drive until the run ends, waits for another attempt, the lease is lost, or the process is to stop."""
        self._parts.keeper.add(self._lease, self.wake)
        try:
            self._log = self._open_log()
            self._sync = RunSync(self._run, self._log, self._parts.session_workers, self.wake)
            self._ending = RunEnding(self._run.id, self._lease, self._log, self._parts.settings)
            self._pause = RunPause(self._run.id, self._lease, self._log, self._parts.bell)
            self._start = RunStart(self._log, self._lease, self._parts.settings.provider_settings)
            self._drive()
        except LeaseLost as lost:
            self._parts.counters.add("paddock_leases_lost_total", {})
            logger.info("lease lost", epoch=self._lease.epoch, why=str(lost))
        except HandBack:
            self._hand_back()
        except LetGo:
            logger.info("run let go, it waits for a person", epoch=self._lease.epoch)
        except Unavailable as error:  # the database or Redis: whoever holds the next lease goes on
            logger.warning("run left to the next lease", epoch=self._lease.epoch, error=error.message)
        finally:
            self._lease.lose()
            self._parts.keeper.remove(self._lease)
            self._inbox.close()

    def _open_log(self) -> RunLog:
        try:
            return RunLog.open(self._run, self._lease, self._parts.stream, self._parts.counters)
        except Unavailable:
            with suppress(AppError, peewee.PeeweeException):
                runs.excuse_lease(self._run.id, self._lease.epoch)
            raise

    def _drive(self) -> None:
        if self._run.bound_until is not None:
            self._drive_external()
            return
        if self._cancel_before_start() or self._give_up_dead():
            return
        if not self._claim.turn:
            raise HandBack
        provider = self._provider()
        failure = self._start.refusal(self._run, provider)
        if failure is not None:
            self._ending.refuse(failure)
            return
        error: Exception | None = None
        tries = 0
        while tries < SANDBOX_TRIES:
            try:
                self._run_in_sandbox(provider)
                return
            except (ExecutorError, OSError, _NoRoom) as lost:
                if self._is_for_lack_of_room(lost):
                    self._wait_for_room(lost)
                    continue
                if not isinstance(lost, ExecutorError):
                    raise
                logger.warning("executor did not answer", epoch=self._lease.epoch, error=str(lost))
                error = lost
                tries += 1
        self._give_up_sandbox(error)

    def _drive_external(self) -> None:
        ExternalDrive(
            self._run,
            ExternalParts(
                settings=self._parts.settings,
                lease=self._lease,
                log=self._log,
                sync=self._sync,
                ending=self._ending,
                inbox=self._inbox,
                bell=self._parts.bell,
                blobs=RunBlobs(self._parts.store, self._run),
                check_stopping=self._check_external,
            ),
        ).drive()

    def _check_external(self) -> None:
        self._parts.progress.turned("threads")
        self._check_stopping()

    def _is_for_lack_of_room(self, error: Exception) -> bool:
        """A full disk shows in many ways: what fails while there is no room is taken to fail for it."""
        full = getattr(error, "status", None) == NO_SPACE_STATUS or getattr(error, "errno", None) in NO_ROOM
        return full or self._parts.watermarks.find_shortage() is not None

    def _wait_for_room(self, error: Exception) -> None:
        """A run whose agent is there waits with its lease, so that nothing is counted against it; one that has none goes back: it
        is not claimed before there is room."""
        logger.warning("run waits for room", epoch=self._lease.epoch, error=str(error))
        if self._run.status == RunStatus.CLAIMED:
            raise HandBack from error
        end = time.monotonic() + ROOM_SECONDS
        while time.monotonic() < end:
            self._check_stopping()
            self._lease.require()
            self._inbox.get(TICK_SECONDS)

    def _run_in_sandbox(self, provider: Provider) -> None:
        """Make the sandbox ready and follow the agent to its end; ExecutorError when the executor goes away meanwhile."""
        self._run = AgentRun.get_by_id(self._run.id)
        if self._pause.rest_without_agent(self._run, self._ending):
            return
        executor = self._prepare_sandbox()
        if executor is None:
            return
        with logger.contextualize(executor_id=f"{self._run.session_id}.{self._generation}"):
            self._run_with(executor, provider)

    def _run_with(self, executor: Executor, provider: Provider) -> None:
        executor.fence(self._run.id, self._lease.epoch)
        if self._cancel_before_start():
            return
        self._inbox.close()
        self._inbox = Inbox()
        attempt = self._enter_attempt(provider, executor)
        if attempt is not None:
            self._finish(attempt, self._follow(attempt, executor))
            with suppress(ExecutorError, LeaseLost):  # the journal may go; if nobody says so it only stays longer
                executor.acknowledge(attempt.agent_id, attempt.position, epoch=self._lease.epoch)

    def _give_up_sandbox(self, error: Exception | None) -> None:
        started = self._run.status != RunStatus.CLAIMED
        code = FailureCode.SANDBOX_LOST if started else FailureCode.SETUP_FAILED
        failure = Failure(code, f"The sandbox did not answer: {error}", retryable=True)
        self._ending.end_attempt(None, Outcome(RunStatus.FAILED, code, failure))

    # --- before the agent ---------------------------------------------------------------------------------------------------

    def _cancel_before_start(self) -> bool:
        """Apply the commands of a run whose agent does not run: a stop ends it at once, a message waits for the agent, others have
        nobody to reach."""
        if RunStatus(self._run.status) not in (RunStatus.QUEUED, RunStatus.CLAIMED):
            return False
        commands = runs.list_unapplied(self._run.id)
        if any(command.kind == "stop" for command in commands):
            self._ending.cancel("stopped before it started", commands)
            return True
        runs.mark_applied(steering.without_steers(commands), self._log.last_seq)
        return False

    def _give_up_dead(self) -> bool:
        """Too many leases that ran out without a new event end the run. The claim counted by what SQL knew; the log knows better."""
        if not self._claim.counted:
            return False
        if self._log.last_seq > self._claim.seq_before:
            runs.take_back_death(self._run.id, self._lease.epoch)
            return False
        return self._ending.give_up_dead(self._kill_agent)

    def _kill_agent(self) -> None:
        executor = self._parts.session_workers.connect(self._run.session_id)
        name = agent_id(self._run.id, self._run.attempt)
        if executor is not None and executor.find_agent(name) is not None:
            executor.fence(self._run.id, self._lease.epoch)
            send_signal(executor, name, "KILL", f"poison:{self._lease.epoch}", self._lease)

    def _provider(self) -> Provider:
        launch = self._run.launch or {}
        begun = self._run.status in (RunStatus.RUNNING, RunStatus.WAITING_HUMAN)
        return self._parts.providers.get(launch["provider"] if begun else self._run.provider)

    def _prepare_sandbox(self) -> Executor | None:
        try:
            ready = self._ready_sandbox()
        except _Canceled:
            return None
        except AppError as error:
            if error.retryable and self._is_for_lack_of_room(error):
                raise _NoRoom(error.message) from error
            failure = Failure(FailureCode.SETUP_FAILED, error.message, error.remedy or "", retryable=error.retryable)
            self._ending.end_attempt(None, Outcome(RunStatus.FAILED, FailureCode.SETUP_FAILED, failure))
            return None
        if ready.notice is not None:
            data = {"code": "sandbox_recovered", "message": ready.notice}
            self._log.append([now_draft(EventType.RUN_WARNING, data, self._run.attempt)])
        self._generation = ready.worker.generation
        return ready.executor

    def _ready_sandbox(self) -> Ready:
        """Have the session's sandbox ready. What it takes and is away is awaited for a while."""
        session = ChatSession.get_by_id(self._run.session_id)
        end, again = time.monotonic() + AWAY_SECONDS, 0.0
        while True:
            try:
                while time.monotonic() < again:
                    self._on_phase("waiting")
                    self._inbox.get(TICK_SECONDS)
                return self._parts.session_workers.ensure_running(
                    session, labels=self._labels(), on_phase=self._on_phase
                )
            except Unavailable as error:
                if error.code not in AWAY or time.monotonic() > end:
                    raise
                logger.warning("run waits", epoch=self._lease.epoch, why=error.code, error=error.message)
                again = time.monotonic() + AWAY_PAUSE_SECONDS

    def _on_phase(self, phase: str) -> None:
        """Heard again and again while a sandbox is awaited or filled, which may take long: a stop must not wait for its end."""
        self._parts.progress.turned("threads")
        self._check_stopping()
        self._lease.require()
        if time.monotonic() - self._looked_at < TICK_SECONDS:
            return
        self._looked_at = time.monotonic()
        logger.debug("sandbox phase", phase=phase)
        if self._cancel_before_start():
            raise _Canceled

    def _labels(self) -> dict[str, str]:
        return {"x-trace-id": self._run.trace_id, "x-session-id": self._run.session_id, "x-run-id": self._run.id}

    # --- the attempt ---------------------------------------------------------------------------------------------------------

    def _enter_attempt(self, provider: Provider, executor: Executor) -> Attempt | None:
        if self._run.status == RunStatus.CLAIMED or self._pause.agent_is_gone(self._run, executor):
            self._run = self._start.begin(self._run, provider, executor)
        settings = model_access.settings_for(self._parts.settings, self._run.id, self._run.attempt)
        launch = run_launch.recall(self._run, settings)
        redactor = Redactor(model_access.secrets_of(self._parts.settings, settings))
        text_lines = provider.command(launch).text_lines
        output = RunOutput(self._run, self._parts.settings.run_log_bytes, text_lines, redactor)
        parts = AttemptParts(self._log, self._lease, executor, redactor, RunBlobs(self._parts.store, self._run), output)
        attempt = Attempt(self._run, launch, provider.begin(launch), parts)
        state = executor.find_agent(attempt.agent_id)
        if state is None and self._log.last_record(launch.attempt) > 0:
            self._ending.end_attempt(attempt, _LOST_SANDBOX)
            return None
        if state is None:
            self._lease.require()
            command = provider.command(launch)
            command = replace(command, env={**command.env, trace.VARIABLE: trace.parent(self._run.trace_id)})
            executor.start_agent(
                AgentStart(attempt.agent_id, self._run.id, self._lease.epoch, provider.kind, command, self._labels())
            )
        else:
            attempt.resume_behind(state.last)
        return attempt

    def _follow(self, attempt: Attempt, executor: Executor) -> Outcome | None:
        parts = FollowParts(
            lease=self._lease,
            log=self._log,
            inbox=self._inbox,
            escalation=self._escalation,
            sync=self._sync,
            pause=self._pause,
            progress=self._parts.progress,
            check_stopping=self._check_stopping,
            silence_seconds=self._parts.settings.silence_seconds,
        )
        return Following(self._run, attempt, executor, parts).follow()

    # --- the end -------------------------------------------------------------------------------------------------------------

    def _finish(self, attempt: Attempt, outcome: Outcome | None) -> None:
        if outcome is None:
            raise AssertionError("the adapter gave no outcome although its agent has exited")
        self._log.flush()
        self._sync.finish(attempt.number)
        self._ending.end_attempt(attempt, outcome)
        self._parts.session_workers.touch(self._run.session_id)

    def _check_stopping(self) -> None:
        if self._parts.stopping.is_set():
            raise HandBack

    def _hand_back(self) -> None:
        try:
            self._log.flush()
        except LeaseLost:
            return
        runs.hand_back(self._run.id, self._lease.epoch)
        logger.info("lease handed back", epoch=self._lease.epoch)
