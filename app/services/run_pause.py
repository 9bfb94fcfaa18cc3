"""A run that waits for a person: when its holder lets go of it, and what becomes of it without an agent. Decision 8.

Looking at let-go runs in bulk, and stopping their sandboxes, is in `waiting`.
"""

from __future__ import annotations

import time

from app.domain.journal import agent_id
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.models import AgentRun
from app.ports import AgentHost, Bell
from app.services import human_loop, runs, steering
from app.services.event_log import RunLog
from app.services.run_attempt import Attempt
from app.services.run_ending import RunEnding

SILENT_SECONDS = 1.0
"""How long an agent is silent before its run is let go; the CLIs have their transcripts on disk by then."""


TORN_AWAY = ("executor_lost", "signal:9")
"""How an agent ended that did not end by itself: with its executor, or killed a moment before it when everything was."""


class LetGo(Exception):
    """Only a person can move the run now: its holder is done with it."""


class RunPause:
    """The pauses of one run under one lease."""

    def __init__(self, run_id: str, lease: Lease, log: RunLog, bell: Bell) -> None:
        self._run_id, self._lease, self._log, self._bell = run_id, lease, log, bell
        self._silent_since = time.monotonic()

    def heard(self) -> None:
        """The agent, a person or the run's own work moved something."""
        self._silent_since = time.monotonic()

    def let_go_if_silent(self, attempt: Attempt, host: AgentHost) -> None:
        """Raise LetGo where the run waits, and the agent has been silent for a while with its journal read to the end."""
        if attempt.status != RunStatus.WAITING_HUMAN or time.monotonic() - self._silent_since < SILENT_SECONDS:
            return
        state = host.find_agent(attempt.agent_id)
        if state is not None and state.running and state.last == attempt.position:
            self._let_go(attempt.position)

    def rest_without_agent(self, run: AgentRun, ending: RunEnding) -> bool:
        """The sandbox was stopped while the run waited: only an answer is a reason to start it. True where a stop ended the run."""
        if run.sandbox_stopped_at is None:
            return False
        commands = runs.list_unapplied(run.id)
        if any(command.kind == "stop" for command in commands):
            ending.cancel("stopped while it waited", commands)
            return True
        if not human_loop.list_decided(run.id):
            runs.mark_applied(steering.without_steers(commands), self._log.last_seq)
            self._let_go(run.let_go_record or 0, sandbox_stopped=True)
        return False

    def agent_is_gone(self, run: AgentRun, host: AgentHost) -> bool:
        """True where a waiting run's agent ended because its sandbox did, not of its own accord, and an answer came for it; LetGo
        where none came: its requests stay open, and nothing is started before somebody answers."""
        if run.status != RunStatus.WAITING_HUMAN:
            return False
        if run.sandbox_stopped_at is None:
            state = host.find_agent(agent_id(run.id, run.attempt))
            if state is not None and state.exit not in TORN_AWAY:
                return False
        if not human_loop.list_decided(run.id):
            self._let_go(self._log.last_record(run.attempt), sandbox_stopped=True)
        return True

    def _let_go(self, record: int, *, sandbox_stopped: bool = False) -> None:
        """Raise LetGo, with all in SQL: nobody holds the run while it rests, so what only Redis had could be lost there for good."""
        self._log.flush()
        runs.let_go(self._run_id, self._lease.epoch, record, sandbox_stopped=sandbox_stopped)
        self._lease.lose()
        if runs.list_unapplied(self._run_id):  # it came in between: its bell was for this holder
            self._bell.ring_runs()
        raise LetGo
