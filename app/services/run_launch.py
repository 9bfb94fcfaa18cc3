"""How an attempt starts: which conversation goes on, with what settings. The plan is kept in the run's row, because every
holder of the attempt must step its journal from the same beginning."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.domain.events import EventType
from app.domain.turn import Answered, ContextMode, Launch, ResumePoint, prompt_with
from app.models import AgentRun, HumanLoopRequest, RunEvent
from app.ports import Provider, WorkspaceHost
from app.services import human_loop, log_rows, steering
from app.services.run_output import EVENT_COST, TRUNCATED

DECLINED = "The user declined this."


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
    told = steering.texts_taken(run.id)
    fresh = Launch(run.id, run.session_id, attempt, prompt_with(run.prompt, told), model, None, run.options, settings)
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
        "told": told,
        "usageBefore": usage_so_far(run.id),
        "allowedTools": _always_allowed(run.id),
        **_log_so_far(run.id),
    }
    mode: ContextMode = "native_resume" if resume else "fresh"
    return LaunchPlan(launch, mode, wanted is not None and resume is None, row)


def _always_allowed(run_id: str) -> list[str]:
    """Return the tools that a person allowed for the rest of the run."""
    query = HumanLoopRequest.select().where(HumanLoopRequest.run_id == run_id, HumanLoopRequest.status == "answered")
    return sorted(
        {
            request.tool_call["name"]
            for request in list(query)
            if request.tool_call and (request.reply or {}).get("decision") == "allow_always"
        }
    )


def _log_so_far(run_id: str) -> dict[str, Any]:
    """Return what `run_output` goes on from: how large the log is, and whether it says that it was cut."""
    count, size = log_rows.weight(run_id)
    warnings = RunEvent.select(RunEvent.data).where(RunEvent.run_id == run_id, RunEvent.type == EventType.RUN_WARNING)
    cut = any(warning.data.get("code") == TRUNCATED for warning in list(warnings))
    return {"logBytes": size + count * EVENT_COST, "logCut": cut}


def usage_so_far(run_id: str) -> dict[str, Any]:
    """Return what a run has used up to now: its last `usage.update`, which is cumulative."""
    query = RunEvent.select(RunEvent.data).where(RunEvent.run_id == run_id, RunEvent.type == EventType.USAGE_UPDATE)
    last = query.order_by(RunEvent.seq.desc()).first()
    return dict(last.data) if last is not None else {}


def answered_row(plan: LaunchPlan, answered: Sequence[HumanLoopRequest]) -> dict[str, Any]:
    """Return the plan's row for an attempt that goes on with what people answered while the agent was gone: the answers to tell
    it, and one grant for each thing that was decided (decision 8)."""
    row = dict(plan.row)
    if row["resume"] is not None:
        row["resume"] = {**row["resume"], "answers": [_answer_row(request) for request in answered]}
    row["grants"] = [_grant_row(request) for request in answered if request.tool_call]
    return row


def _grant_row(request: HumanLoopRequest) -> dict[str, Any]:
    """What was decided holds for the first identical request of the next attempt: nobody is asked the same twice."""
    reply = _reply_of(request) or {}
    row = {"id": request.id, "key": grant_key(request.tool_call["name"], request.tool_call["input"])}
    if reply.get("decision") in ("allow", "allow_always"):
        return row
    return {**row, "verdict": {"verdict": "deny", "message": reply.get("message") or DECLINED}}


def grant_key(tool: str, tool_input: Mapping[str, Any]) -> str:
    """Return the hash of a tool and its canonical input, by which the same request is known again."""
    return hashlib.sha256(orjson.dumps([tool, dict(tool_input)], option=orjson.OPT_SORT_KEYS)).hexdigest()


def _answer_row(request: HumanLoopRequest) -> dict[str, Any]:
    subject = request.title
    if request.kind == "question":
        subject = " / ".join(str(question["question"]) for question in request.questions or []) or subject
    elif request.tool_call:
        subject = f"{request.tool_call['name']} {orjson.dumps(request.tool_call['input']).decode()}"
    row = {"requestId": request.id, "kind": request.kind, "subject": subject, "reply": _reply_of(request)}
    return {**row, "questions": request.questions} if request.questions else row


def _reply_of(request: HumanLoopRequest) -> Mapping[str, Any] | None:
    reply: Mapping[str, Any] | None = human_loop.EXPIRED_REPLY if request.status == "expired" else request.reply
    return reply


def recall(run: AgentRun, settings: Mapping[str, str]) -> Launch:
    """Return the launch of the run's current attempt as its first holder planned it."""
    row = run.launch or {}
    resume = row.get("resume")
    point = None
    if resume:
        answers = tuple(
            Answered(
                answer["requestId"],
                answer["kind"],
                answer["subject"],
                answer["reply"],
                tuple(answer.get("questions") or ()),
            )
            for answer in resume.get("answers") or []
        )
        point = ResumePoint(resume["conversationId"], resume["hasPrompt"], answers, tuple(row.get("told") or ()))
    allowed = tuple(row.get("allowedTools") or ())
    prompt = prompt_with(run.prompt, row.get("told") or ())
    return Launch(run.id, run.session_id, run.attempt, prompt, row.get("model"), point, run.options, settings, allowed)


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
