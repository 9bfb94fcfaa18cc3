"""How an attempt starts: which conversation goes on, with what settings. The plan is kept in the run's row, because every
holder of the attempt must step its journal from the same beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.domain.turn import ContextMode, Launch, ResumePoint
from app.models import AgentRun
from app.ports import Provider, WorkspaceHost


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """`row` is what the run's `launch` column keeps; `lost_context` says that an earlier conversation could not go on."""

    launch: Launch
    mode: ContextMode
    lost_context: bool
    row: Mapping[str, Any]


def plan(
    run: AgentRun, attempt: int, provider: Provider, settings: Mapping[str, str], host: WorkspaceHost
) -> LaunchPlan:
    """Decide how attempt `attempt` starts, by looking at what the agent's own state in the sandbox still holds."""
    model = provider.model(run.model, settings)
    fresh = Launch(run.id, run.session_id, attempt, run.prompt, model, None, run.options, settings)
    wanted = _earlier_conversation(run, provider)
    resume = None
    if wanted is not None:
        resume = _probe(replace(fresh, resume=ResumePoint(wanted)), provider, host)
    launch = replace(fresh, resume=resume)
    row = {
        "provider": provider.kind,
        "model": model,
        "resume": None
        if resume is None
        else {"conversationId": resume.conversation_id, "hasPrompt": resume.has_prompt},
        "usageBefore": run.usage or {},
    }
    mode: ContextMode = "native_resume" if resume else "fresh"
    return LaunchPlan(launch, mode, wanted is not None and resume is None, row)


def recall(run: AgentRun, settings: Mapping[str, str]) -> Launch:
    """Return the launch of the run's current attempt as its first holder planned it."""
    row = run.launch or {}
    resume = row.get("resume")
    point = ResumePoint(resume["conversationId"], resume["hasPrompt"]) if resume else None
    return Launch(run.id, run.session_id, run.attempt, run.prompt, row.get("model"), point, run.options, settings)


def _earlier_conversation(run: AgentRun, provider: Provider) -> str | None:
    if not provider.capabilities.resume or (run.launch or {}).get("startFresh"):
        return None
    if run.options.get("resume") is False and run.attempt == 0:
        return None
    if run.conversation_id:
        return str(run.conversation_id)
    query = (
        AgentRun.select(AgentRun.conversation_id, AgentRun.launch)
        .where(
            AgentRun.session_id == run.session_id,
            AgentRun.session_seq < run.session_seq,
            AgentRun.conversation_id.is_null(False),
        )
        .order_by(AgentRun.session_seq.desc())
    )
    for earlier in list(query.limit(20)):
        if (earlier.launch or {}).get("provider") == provider.kind:
            return str(earlier.conversation_id)
    return None


def _probe(launch: Launch, provider: Provider, host: WorkspaceHost) -> ResumePoint | None:
    assert launch.resume is not None  # noqa: S101 - for the type checker; the caller set it
    probes = provider.probes(launch)
    if not probes:
        return launch.resume
    found = host.link_agent_data(probes)[0]
    return ResumePoint(launch.resume.conversation_id, found.contains) if found.exists else None
