"""Rows for tests, made through the services that make them in the product."""

from __future__ import annotations

from typing import Any

from app.domain.events import EventType
from app.models import AgentRun, ChatSession, HumanLoopRequest, RunEvent
from app.ports import ObjectStore
from app.services import human_loop, run_creation, sessions
from app.services.run_blobs import LONGEST_OUTPUT, RunBlobs
from app.services.run_creation import NewRun, NewSession
from app.services.sessions import SessionFields
from tests.cast import Person


class SilentBell:
    """A bell nobody hears; `rung` counts."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring_runs(self) -> None:
        self.rung.append("runs")

    def ring_session_worker(self, session_id: str) -> None:
        self.rung.append(f"worker:{session_id}")

    def ring_command(self, run_id: str) -> None:
        self.rung.append(f"command:{run_id}")


def session(owner: Person, title: str = "a chat") -> ChatSession:
    return sessions.create(owner.principal, SessionFields(title, "scripted"))


def run(owner: Person, in_session: ChatSession | None = None, **fields: Any) -> AgentRun:
    """A queued run; `fields` are those of NewRun."""
    where: str | NewSession = in_session.id if in_session else NewSession(title="made by a run")
    given = {"provider": "scripted", "prompt": "hello", **fields}
    new = NewRun(owner.user.tenant_id, owner.user.id, where, **given)
    return run_creation.create(new, SilentBell())


def approval(of: AgentRun, request_id: str = "hlr_test") -> HumanLoopRequest:
    """An open approval of a run."""
    data = {"requestId": request_id, "kind": "approval", "title": "Write a file", "options": ["allow", "deny"]}
    human_loop.opened(of, 1, data, of.created_at)
    return HumanLoopRequest.get_by_id(request_id)


def questions(of: AgentRun) -> HumanLoopRequest:
    """An open request of a run with two questions, the second of which takes several answers."""
    asked = [{"id": "q1", "question": "Color?"}, {"id": "q2", "question": "Sizes?", "multiple": True}]
    data = {"requestId": "hlr_questions", "kind": "question", "title": "Two things", "questions": asked}
    human_loop.opened(of, 1, data, of.created_at)
    return HumanLoopRequest.get_by_id("hlr_questions")


def blob(of: AgentRun, store: ObjectStore, output: str = "x" * (LONGEST_OUTPUT + 1)) -> str:
    """A long output of a run, in the store and in its log; return its blob's id."""
    data = dict(RunBlobs(store, of).shorten({"toolCallId": "t1", "status": "ok", "output": output}))
    seq, kind = of.last_seq + 1, EventType.TOOL_RESULT
    RunEvent.create(run_id=of.id, seq=seq, tenant_id=of.tenant_id, type=kind, ts=of.created_at, src="1:1", data=data)
    AgentRun.update(last_seq=seq).where(AgentRun.id == of.id).execute()
    return str(data["blobId"])
