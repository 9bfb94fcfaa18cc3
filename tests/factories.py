"""Rows for tests, made through the services that make them in the product."""

from __future__ import annotations

from typing import Any

from app.models import AgentRun, ChatSession, HumanLoopRequest
from app.services import human_loop, run_creation, sessions
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
