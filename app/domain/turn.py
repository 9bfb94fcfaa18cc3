"""What goes into and comes out of a provider's adapter: values only. The adapter's interface is in `app.ports`.

An adapter is sans-I/O (ARCHITECTURE decision 5): it sees journal records and nothing else, so the same journal always
gives the same events, whoever steps it and however often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain.failure import Failure
from app.domain.run_state import RunStatus

ToolKind = Literal["read", "edit", "execute", "search", "fetch", "think", "other"]
ContextMode = Literal["fresh", "native_resume", "history_replay"]

CONTINUE_MESSAGE = "Continue with the task where you left off. What was already done is in the workspace."
"""Sent instead of the prompt where the conversation already holds it (decision 5)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person answered to an agent that was stopped while it waited. `subject` is what was asked: a question's text, or
    the tool and its input; `questions` and `reply` as in `human_loop.requested` and `human_loop.resolved`."""

    request_id: str
    kind: Literal["question", "approval"]
    subject: str
    reply: Mapping[str, Any]
    questions: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """A conversation of the agent's own that goes on. `has_prompt`: its transcript already holds this run's prompt.
    `answers` are what the agent waited for when its sandbox was stopped, `told` what it was told while earlier attempts of the run
    worked: a crash may have kept that out of the transcript."""

    conversation_id: str
    has_prompt: bool = False
    answers: tuple[Answered, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What the agent is told instead of the prompt (decisions 5 and 8)."""
        if not self.answers:
            return prompt_with(CONTINUE_MESSAGE, self.told)
        return "\n\n".join([_told(answer) for answer in self.answers]) + "\n\nContinue."


def _told(answer: Answered) -> str:
    """Return one answer in words. What was approved has not been run: the agent's process was gone when the answer came."""
    if answer.reply.get("expired"):
        return (
            f"While this session was paused the deadline of your request passed and nobody answered: {answer.subject}\n"
            "It counts as denied. It has not been run. Do not run it; decide yourself how to go on."
        )
    if answer.kind == "question":
        given = answer.reply.get("answers") or {}
        texts = "; ".join(", ".join(chosen) for chosen in given.values()) or "no answer; decide yourself"
        return f"While this session was paused a person answered your question.\nQuestion: {answer.subject}\nAnswer: {texts}"
    if answer.reply.get("decision") == "deny":
        reason = f" They said: {answer.reply['message']}" if answer.reply.get("message") else ""
        return f"While this session was paused a person denied your request: {answer.subject}\nIt has not been run. Do not run it.{reason}"
    return f"While this session was paused a person approved your request: {answer.subject}\nIt has not been run. Run it now, exactly so."


def prompt_with(prompt: str, told: Sequence[str]) -> str:
    """Return a prompt with what the agent was told besides, while it worked."""
    return "\n\n".join([prompt, *told])


@dataclass(frozen=True, slots=True)
class Launch:
    """All an adapter may know when an attempt starts; the same for every holder of that attempt.

    `settings` are the provider's settings of the platform (model address, keys); `options` what the caller asked for;
    `allowed_tools` those that a person allowed for the rest of the run in an earlier attempt.
    """

    run_id: str
    session_id: str
    attempt: int
    prompt: str
    model: str | None = None
    resume: ResumePoint | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    allowed_tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentCommand:
    """How to start the agent: `argv`, its whole environment, the names of `env` that are secret, files for its HOME. Lines of its
    that begin with one of `text_lines` carry text alone, and may be left out once a run's log is full."""

    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/workspace"
    text_lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A question about the agent's own state before an attempt: does a file matching `glob` (below the agent's HOME)
    exist, and does it hold the text `contains`? Without one only the first is asked, and the second is answered no."""

    glob: str
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    exists: bool
    contains: bool


@dataclass(frozen=True, slots=True)
class SendInput:
    """Write one line to the agent's stdin. Keys name protocol ids and the attempt, so a repeated intent is no second line."""

    key: str
    line: bytes


@dataclass(frozen=True, slots=True)
class AskPolicy:
    """May the agent use this tool? The verdict comes back as a `ctl` record `{type: "verdict", requestId, verdict, rule}`
    with key `key`; `requestId` is the provider's own, `verdict` is allow, deny or ask."""

    key: str
    request_id: str
    tool: str
    kind: ToolKind
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndAgent:
    """The turn is over (or must end): the driver ends the process: SIGTERM with stdin open, then SIGKILL of its tree."""

    key: str


Intent = SendInput | AskPolicy | EndAgent


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the attempt ended. `status` is succeeded, failed or canceled; `failure` is there exactly when it failed."""

    status: RunStatus
    stop_reason: str
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one record meant. `events` are `(type, data)` in order; `outcome` appears in exactly one step of an attempt, at
    the latest in that of its `exit` record; `conversation_id` when the agent told (or confirmed) it."""

    events: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    intents: tuple[Intent, ...] = ()
    outcome: Outcome | None = None
    conversation_id: str | None = None


NOTHING = Step()
