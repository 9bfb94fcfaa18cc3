"""What an attempt may use: running time (`budget.maxSeconds`), output, and silence (`run_silence`). One that uses more is ended, and the
run fails with the reason. Tokens and cost are limited where they are metered (`budgets`), whose order to stop is carried out here; what
the agent itself reports counts too, so that agents whose calls are not metered have a limit, however late."""

from __future__ import annotations

import time

from app.domain.events import EventType
from app.domain.failure import Failure, FailureCode
from app.domain.journal import Record
from app.domain.run_state import RunStatus
from app.domain.turn import Outcome
from app.models import AgentRun, RunEvent
from app.services import budgets, metering
from app.services.run_attempt import Attempt
from app.services.run_output import RECORD_COST
from app.services.run_silence import Silence

OUTPUT_BYTES = 240 * 1024 * 1024
"""Of one attempt's journal, beside the text that is shed (`run_output`). The executor stops reading an agent above 256 MiB of
unacknowledged records, and what every holder must be able to step again is not acknowledged before the end."""
_KEY = "limit:"


class RunLimits:
    """The limits of one attempt for one holder. `verdict` is set once one is exceeded; the same for every later holder, because
    the order to stop is in the journal."""

    def __init__(self, run: AgentRun, attempt: Attempt, silence_seconds: float) -> None:
        self._run_id, self._attempt = run.id, attempt
        self._silence = Silence(run.id, attempt, silence_seconds)
        self._budget = run.options.get("budget") or {}
        self._max_seconds = self._budget.get("maxSeconds")
        self._bytes = 0
        self._status: RunStatus | None = None
        self._used_seconds = 0.0
        self._running_since = 0.0
        self.verdict: Outcome | None = None

    def saw(self, record: Record) -> None:
        """Count a record; take up the verdict of an earlier holder."""
        self._bytes += len(record.data) + RECORD_COST
        if record.kind != "idle":
            self._silence.heard()
        if record.kind == "ctl" and record.key == self._attempt.output.shed_key:
            self._bytes = 0  # the executor made as much room again
        if record.kind == "ctl" and (record.key or "").startswith(_KEY):
            self.verdict = _VERDICTS[str(record.key).removeprefix(_KEY).partition(":")[0]]

    def check(self) -> bool:
        """Order the agent to stop where a limit is exceeded; True as long as it has been told, by whichever holder, and goes on."""
        if self._attempt.outcome is not None:
            return False
        if self.verdict is not None:
            return True
        limit = self._exceeded()
        if limit is None:
            return False
        self.order(limit)
        return True

    def order(self, limit: str) -> None:
        """Order the agent to stop for a limit."""
        if self.verdict is None:
            self.verdict = _VERDICTS[limit]
            self._attempt.control(
                f"{_KEY}{limit}:{self._attempt.number}", {"type": "stop", "by": None, "reason": limit}
            )

    def final(self, outcome: Outcome | None) -> Outcome | None:
        """Return how the attempt ended: an agent that was refused a call of its model may have ended by itself, before its order."""
        if self.verdict is None:
            limit = budgets.find_limit(self._run_id, self._attempt.number)
            self.verdict = _VERDICTS[limit] if limit is not None else None
        return self.verdict or outcome

    def _exceeded(self) -> str | None:
        if self._bytes >= OUTPUT_BYTES and not self._attempt.output.awaits_shed:
            return "output"
        if self._max_seconds is not None and self._running_seconds() >= self._max_seconds:
            return "time"
        if self._silence.is_too_long():
            return "silence"
        return self._reported()

    def _reported(self) -> str | None:
        """Return the limit that the agent's own report has reached, where nothing better than that is known."""
        limit = budgets.exceeded(self._budget, self._attempt.usage)
        return limit if limit is not None and metering.total(self._run_id) is None else None

    def _running_seconds(self) -> float:
        """Running time of all attempts; waiting for people or in the queue does not count."""
        if self._status != self._attempt.status:
            self._status = self._attempt.status
            self._used_seconds, self._running_since = _running_time(self._run_id)
        running = self._status == RunStatus.RUNNING
        return self._used_seconds + (time.time() - self._running_since if running else 0.0)


def _running_time(run_id: str) -> tuple[float, float]:
    """Return the seconds of the finished stretches of `running`, and when the present one began (POSIX seconds)."""
    query = RunEvent.select(RunEvent.ts, RunEvent.data).where(
        RunEvent.run_id == run_id, RunEvent.type == EventType.RUN_STATUS
    )
    used, since = 0.0, None
    for event in list(query.order_by(RunEvent.seq)):
        if since is not None:
            used += max(0.0, event.ts - since)
        since = event.ts if event.data["status"] == RunStatus.RUNNING else None
    return used, since if since is not None else time.time()


_VERDICTS: dict[str, Outcome] = {
    **{
        str(limit): Outcome(RunStatus.FAILED, "budget_exceeded", budgets.failure_for(limit)) for limit in budgets.LIMITS
    },
    "time": Outcome(
        RunStatus.FAILED,
        "budget_exceeded",
        Failure(FailureCode.BUDGET_EXCEEDED, "The run worked longer than its budget.maxSeconds.", retryable=False),
    ),
    "silence": Outcome(
        RunStatus.FAILED,
        "silent",
        Failure(
            FailureCode.PROVIDER_NO_OUTPUT,
            "The agent said nothing for too long, with no tool running, no call of its model open, and nobody asked.",
            "Look at `paddock doctor` and at the model's address. If this agent is silent by nature, raise PADDOCK_SILENCE_SECONDS.",
        ),
    ),
    "output": Outcome(
        RunStatus.FAILED,
        "output_limit",
        Failure(
            FailureCode.AGENT_ERROR,
            "The agent wrote more than 240 MiB in one turn, text not counted.",
            "Ask for less output: have it write large results to files.",
            retryable=False,
        ),
    ),
}
