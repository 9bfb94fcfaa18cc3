"""Sessions: a conversation and its workspace. Their runs are in `app.services.runs`, their sandboxes in `session_workers`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app import db, ids
from app.domain import pages
from app.domain.events import EventType
from app.domain.pages import Page
from app.domain.permissions import Principal
from app.models import AgentRun, ChatSession, RunEvent

SHOWN_IN_CHAT = (
    EventType.MESSAGE_STOP,
    EventType.THINKING_STOP,
    EventType.TOOL_CALL,
    EventType.TOOL_RESULT,
    EventType.HUMAN_LOOP_REQUESTED,
    EventType.HUMAN_LOOP_RESOLVED,
    EventType.RUN_WARNING,
)
"""What a chat's messages are made from: whole texts and deeds, not their deltas."""


@dataclass(frozen=True, slots=True)
class SessionFields:
    """What a session is made with."""

    title: str = ""
    provider: str = ""
    model: str | None = None


def create(principal: Principal, fields: SessionFields) -> ChatSession:
    """Make a session without a run."""
    now = db.now()
    return ChatSession.create(
        id=ids.new_id("ses"),
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        title=fields.title,
        provider=fields.provider,
        model=fields.model,
        created_at=now,
        updated_at=now,
    )


def list_page(principal: Principal, *, archived: bool, cursor: str | None, limit: int) -> Page[ChatSession]:
    """Return the sessions that the principal sees, the one used last first."""
    query = ChatSession.select().where(
        ChatSession.tenant_id == principal.tenant_id, ChatSession.archived_at.is_null(not archived)
    )
    if principal.owner_filter is not None:
        query = query.where(ChatSession.user_id == principal.owner_filter)
    if cursor is not None:
        updated_at, session_id = pages.decode(cursor, float, str)
        older = ChatSession.updated_at < updated_at
        query = query.where(older | ((ChatSession.updated_at == updated_at) & (ChatSession.id < session_id)))
    rows = list(query.order_by(ChatSession.updated_at.desc(), ChatSession.id.desc()).limit(limit + 1))
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], pages.encode(float(last.updated_at), last.id) if last else None)


def change(session: ChatSession, *, title: str | None, archived: bool | None) -> ChatSession:
    """Rename, archive or bring back a session; None leaves a field as it is."""
    now = db.now()
    changes: dict[str, object] = {}
    if title is not None:
        changes["title"] = title
    if archived is not None:
        changes["archived_at"] = (session.archived_at or now) if archived else None
    if changes:
        ChatSession.update(changes).where(ChatSession.id == session.id).execute()
    return ChatSession.get_by_id(session.id)


def list_runs(session: ChatSession) -> list[AgentRun]:
    """Return all runs of the session in their order."""
    return list(AgentRun.select().where(AgentRun.session_id == session.id).order_by(AgentRun.session_seq))


def list_chat_events(run_ids: Sequence[str]) -> list[RunEvent]:
    """Return the events that a chat shows of these runs, by run and seq."""
    query = RunEvent.select().where(RunEvent.run_id.in_(list(run_ids)), RunEvent.type.in_(SHOWN_IN_CHAT))
    return list(query.order_by(RunEvent.run_id, RunEvent.seq))
