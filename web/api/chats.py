"""Chats: sessions and their messages, in the sources' address. A chat's id is its session's."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.models import ChatSession
from app.services import chat_pages, chats, run_lists, sessions
from app.services.chats import Wanted
from app.services.sessions import SessionChange, SessionFields
from web.parts import Parts
from web.projections.messages import messages_of
from web.routing import Routes
from web.schemas.common import Done, PageOf, PageQuery
from web.schemas.runs import RunView, run_views, waiting_views
from web.schemas.sessions import (
    ActivityQuery,
    ActivityView,
    ChatChange,
    ChatCreation,
    ChatQuery,
    ChatRead,
    ChatsQuery,
    ChatView,
    ChatWithMessages,
    activity_view,
    chat_views,
)
from web.wire import Reply

routes = Routes("chats")
ADDRESS = "/api/chat-opencode-history"


@routes.get(ADDRESS, Permission.SESSION_READ, etag=True)
def list_chats(principal: Principal, query: ChatsQuery) -> PageOf[ChatView]:
    """List chats, the one used last first."""
    wanted = Wanted(query.archived, query.mine, query.q.strip())
    page = chats.list_page(principal, wanted, cursor=query.cursor, limit=query.limit)
    return PageOf[ChatView](items=chat_views(page.items), next_cursor=page.next_cursor)


@routes.get(f"{ADDRESS}/activity", Permission.SESSION_READ, etag=True)
def get_activity(principal: Principal, query: ActivityQuery) -> ActivityView:
    """Read what goes on in chats: the one thing that a page needs to ask again and again."""
    return activity_view(chats.activity(principal, mine=query.mine))


@routes.post(ADDRESS, Permission.SESSION_WRITE, answers=ChatView, status=201)
def create_chat(principal: Principal, parts: Parts, body: ChatCreation) -> Reply:
    """Make an empty chat. One without a title gets the first line of its first message."""
    provider = parts.container.providers.get(body.provider or parts.settings.default_provider).kind
    session = sessions.create(principal, SessionFields(body.title, provider, body.model))
    return Reply(_view(principal, session), 201, {"Location": f"{ADDRESS}/{session.id}"})


@routes.get(f"{ADDRESS}/<session_id>", Permission.SESSION_READ)
def get_chat(session: ChatSession, principal: Principal, query: ChatQuery) -> ChatWithMessages:
    """Read a chat with the newest of its messages, or with those before them."""
    page = chat_pages.read(session, before=query.before, limit=query.limit)
    runs = [turn.run for turn in page.turns]
    views = waiting_views(runs, run_lists.list_open_ids(session.id))
    waiting = {run_id: view.model_dump(by_alias=True, exclude_defaults=True) for run_id, view in views.items()}
    messages = messages_of(page.turns, waiting)
    shown = dict(_view(principal, session))
    return ChatWithMessages(**shown, messages=messages, previous_cursor=page.previous_cursor)


@routes.get(f"{ADDRESS}/<session_id>/queue", Permission.RUN_READ, etag=True)
def list_queue(session: ChatSession, query: PageQuery) -> PageOf[RunView]:
    """List the runs of a chat that have not ended, in their order: the one at work first."""
    page = run_lists.list_open(session.id, cursor=query.cursor, limit=query.limit)
    views = run_views(page.items, run_lists.list_open_ids(session.id))
    return PageOf[RunView](items=views, next_cursor=page.next_cursor)


@routes.put(f"{ADDRESS}/<session_id>", Permission.SESSION_WRITE)
def change_chat(session: ChatSession, principal: Principal, parts: Parts, body: ChatChange) -> ChatView:
    """Rename a chat, archive it or bring it back, choose provider and model of its next runs."""
    provider = parts.container.providers.get(body.provider).kind if body.provider is not None else None
    wanted = SessionChange(body.title, body.archived, provider, body.model, "model" in body.model_fields_set)
    return _view(principal, sessions.change(session, wanted))


@routes.put(f"{ADDRESS}/<session_id>/read", Permission.SESSION_READ)
def mark_chat_read(session: ChatSession, principal: Principal, body: ChatRead) -> ChatView:
    """Mark a chat as read, for oneself."""
    chats.mark_read(principal, session, body.seen_at)
    return _view(principal, session)


@routes.delete(f"{ADDRESS}/<session_id>", Permission.SESSION_WRITE)
def delete_chat(session: ChatSession) -> Done:
    """Hide a chat, its runs and files from everybody, for good; 409 `run_active` while a run of it is open. What was saved goes when
    retention takes it."""
    sessions.delete(session)
    return Done(ok=True)


def _view(principal: Principal, session: ChatSession) -> ChatView:
    return chat_views([chats.get(principal, session)])[0]
