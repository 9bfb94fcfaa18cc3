"""Chats: sessions and their messages, in the sources' address. A chat's id is its session's."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.models import ChatSession
from app.services import sessions
from app.services.sessions import SessionFields
from web.parts import Parts
from web.projections.messages import messages_of
from web.routing import Routes
from web.schemas.common import PageOf
from web.schemas.sessions import (
    ChatChange,
    ChatCreation,
    ChatsQuery,
    ChatView,
    ChatWithMessages,
    chat_fields,
    chat_view,
)
from web.wire import Reply

routes = Routes("chats")
ADDRESS = "/api/chat-opencode-history"


@routes.get(ADDRESS, Permission.SESSION_READ)
def list_chats(principal: Principal, query: ChatsQuery) -> PageOf[ChatView]:
    """List chats, the one used last first."""
    page = sessions.list_page(principal, archived=query.archived, cursor=query.cursor, limit=query.limit)
    return PageOf[ChatView](items=[chat_view(session) for session in page.items], next_cursor=page.next_cursor)


@routes.post(ADDRESS, Permission.SESSION_WRITE, answers=ChatView, status=201)
def create_chat(principal: Principal, parts: Parts, body: ChatCreation) -> Reply:
    """Make an empty chat."""
    provider = parts.container.providers.get(body.provider or parts.settings.default_provider).kind
    session = sessions.create(principal, SessionFields(body.title, provider, body.model))
    return Reply(chat_view(session), 201, {"Location": f"{ADDRESS}/{session.id}"})


@routes.get(f"{ADDRESS}/<session_id>", Permission.SESSION_READ)
def get_chat(session: ChatSession) -> ChatWithMessages:
    """Read a chat with its messages."""
    runs = sessions.list_runs(session)
    messages = messages_of(runs, sessions.list_chat_events([run.id for run in runs]))
    return ChatWithMessages(**chat_fields(session), messages=messages)


@routes.put(f"{ADDRESS}/<session_id>", Permission.SESSION_WRITE)
def change_chat(session: ChatSession, body: ChatChange) -> ChatView:
    """Rename a chat, archive it or bring it back."""
    return chat_view(sessions.change(session, title=body.title, archived=body.archived))
