"""Sessions as the chat API shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from app.models import ChatSession
from web.schemas.common import PageQuery, when
from web.wire import Given, Shown

Title = Annotated[str, Field(max_length=200)]


class ChatsQuery(PageQuery):
    archived: bool = False


class ChatCreation(Given):
    title: Title = ""
    provider: str | None = Field(None, min_length=1, max_length=64)
    model: str | None = Field(None, min_length=1, max_length=256, pattern=r"^[!-~]+$")


class ChatChange(Given):
    """What is left out stays as it is. Messages cannot be sent: they are what the runs' events say."""

    title: Title | None = None
    archived: bool | None = None


class ChatView(Shown):
    """A chat, which is a session: both ids are the same."""

    chat_id: str
    session_id: str
    title: str
    provider: str
    model: str | None
    repo: dict[str, str] | None = None
    archived: bool
    created_at: str
    updated_at: str


class ChatWithMessages(ChatView):
    """A chat with its messages in the form of AI SDK's UIMessage."""

    messages: list[dict[str, Any]]


def chat_fields(session: ChatSession) -> dict[str, Any]:
    repo = {"url": session.repo_url, "bundleId": session.bundle_id, "ref": session.repo_ref}
    return {
        "chat_id": session.id,
        "session_id": session.id,
        "title": session.title,
        "provider": session.provider,
        "model": session.model,
        "repo": {name: value for name, value in repo.items() if value} or None,
        "archived": session.archived_at is not None,
        "created_at": when(session.created_at),
        "updated_at": when(session.updated_at),
    }


def chat_view(session: ChatSession) -> ChatView:
    return ChatView(**chat_fields(session))
