"""Starting an attempt: written down with everything that every holder needs to know, before anything of it happens."""

from __future__ import annotations

from collections.abc import Mapping

from app import db
from app.domain.events import Draft, EventType
from app.domain.failure import Failure, FailureCode
from app.domain.journal import agent_id
from app.domain.lease import Lease
from app.domain.run_state import RunStatus
from app.models import AgentRun, HumanLoopRequest
from app.ports import Executor, Provider
from app.services import human_loop, run_launch, runs
from app.services.event_log import RunLog
from app.services.run_attempt import now_draft
from app.services.run_escalation import send_signal
from app.services.run_launch import LaunchPlan


class RunStart:
    """Starts the attempts of one holder."""

    def __init__(self, log: RunLog, lease: Lease, settings: Mapping[str, str]) -> None:
        self._log, self._lease, self._settings = log, lease, settings

    def refusal(self, run: AgentRun, provider: Provider) -> Failure | None:
        """Return why a claimed run cannot start with this provider; None where it can, or has started before."""
        if run.status != RunStatus.CLAIMED:
            return None
        missing = provider.capabilities.missing(run.required)
        if missing:
            names = ", ".join(missing)
            return Failure(
                FailureCode.CAPABILITY_MISSING,
                f"{provider.kind} cannot do what the run requires: {names}.",
                f"Choose a provider with {names} (`paddock providers`), or do not require it.",
            )
        return provider.readiness(self._settings).failure

    def begin(self, run: AgentRun, provider: Provider, executor: Executor) -> AgentRun:
        """Write the next attempt of a claimed run, or of a waiting one whose agent is gone and that was answered; return the run."""
        self._end_earlier_agent(run, executor)
        plan = run_launch.plan(run, run.attempt + 1, provider, self._settings, executor)
        answered = human_loop.list_decided(run.id) if run.status == RunStatus.WAITING_HUMAN else []
        drafts = _drafts(run, provider, plan, answered)
        epoch, now = self._lease.epoch, db.now()
        fields = {
            "attempt": plan.launch.attempt,
            "launch": run_launch.answered_row(plan, answered),
            "started_at": run.started_at or now,
        }
        applied = [command.id for command in runs.list_unapplied(run.id) if command.kind in ("answer", "expire")]

        def change(last_seq: int) -> None:
            runs.to_running(run.id, epoch, fields)
            runs.mark_applied(applied, last_seq)
            for draft in drafts:
                if draft.type == EventType.HUMAN_LOOP_RESOLVED:
                    human_loop.resolved(draft.data, now)

        self._log.append(drafts, change)
        started: AgentRun = AgentRun.get_by_id(run.id)
        return started

    def _end_earlier_agent(self, run: AgentRun, executor: Executor) -> None:
        """An agent that an earlier attempt lost sight of must not work beside the new one."""
        name = agent_id(run.id, run.attempt)
        state = executor.find_agent(name) if run.attempt else None
        if state is not None and state.running:
            send_signal(executor, name, "KILL", f"replaced:{self._lease.epoch}", self._lease)


def _drafts(run: AgentRun, provider: Provider, plan: LaunchPlan, answered: list[HumanLoopRequest]) -> list[Draft]:
    number = plan.launch.attempt
    started = {
        "provider": run.provider,
        "model": plan.row["model"],
        "attempt": number,
        "capabilities": provider.capabilities.as_wire(),
    }
    drafts = [
        now_draft(EventType.RUN_STARTED, started, number),
        now_draft(EventType.CONTEXT_RESTORED, {"mode": plan.mode}, number),
    ]
    if plan.lost_context:
        message = "The agent's earlier conversation could not be found; it starts without memory of it."
        drafts.append(now_draft(EventType.RUN_WARNING, {"code": "context_lost", "message": message}, number))
    for request in human_loop.list_undelivered(run.id):
        resumed = any(request.id == other.id for other in answered)
        data = human_loop.delivered_late(request) if resumed else human_loop.closed(request, "superseded")
        drafts.append(now_draft(EventType.HUMAN_LOOP_RESOLVED, data, number))
    drafts.append(now_draft(EventType.RUN_STATUS, {"status": RunStatus.RUNNING}, number))
    return drafts
