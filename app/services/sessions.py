"""Sessions: a conversation and its workspace. Their runs are in `app.services.runs`, their sandboxes in `session_workers`, how lists
show them in `chats`."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import fn

from app import db, ids
from app.domain.permissions import Principal
from app.errors import Conflict
from app.models import AgentRun, ChatSession


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


@dataclass(frozen=True, slots=True)
class SessionChange:
    """What is to be another; None leaves a field as it is. `model` counts where `sets_model`: it may be None, the provider's own."""

    title: str | None = None
    archived: bool | None = None
    provider: str | None = None
    model: str | None = None
    sets_model: bool = False


def change(session: ChatSession, wanted: SessionChange) -> ChatSession:
    """Rename, archive or bring back a session, or choose what its next runs use. A model belongs to a provider: another provider
    without a model begins with its own."""
    now = db.now()
    changes: dict[str, object] = {}
    if wanted.title is not None:
        changes["title"] = wanted.title
    if wanted.archived is not None:
        changes["archived_at"] = (session.archived_at or now) if wanted.archived else None
    if wanted.provider is not None and wanted.provider != session.provider:
        changes |= {"provider": wanted.provider, "model": None}
    if wanted.sets_model:
        changes["model"] = wanted.model
    if changes:
        ChatSession.update(changes).where(ChatSession.id == session.id).execute()
    return ChatSession.get_by_id(session.id)


def delete(session: ChatSession) -> None:
    """Hide a session and all that hangs on it, for good. Raises Conflict `run_active` while a run of it is open.

    Nothing else goes at once: its sandbox, which is idle, is saved, stopped and removed as ever, and retention takes its logs and
    snapshots as it takes those of an archived session.
    """
    with db.transaction():
        row = ChatSession.select(ChatSession.id).where(ChatSession.id == session.id)
        list(row if db.is_sqlite() else row.for_update())  # a run that is being made holds it: look after that
        is_open = (AgentRun.session_id == session.id) & AgentRun.finished_at.is_null()
        if AgentRun.select().where(is_open).exists():
            raise Conflict("run_active", "The chat has a run that has not ended.", remedy="Stop its runs first.")
        archived_at = fn.COALESCE(ChatSession.archived_at, db.clock())
        ChatSession.update(deleted_at=db.clock(), archived_at=archived_at).where(ChatSession.id == session.id).execute()
