"""Sessions as the chat API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from app import ids
from app.models import ChatSession
from app.services import chats
from app.services.chats import Activity, Chat
from web.schemas.common import PageQuery, ShownAs, when
from web.schemas.messages import ChatMessage
from web.schemas.runs import FailureCode, Status, WaitingFor, shortage
from web.wire import Asked, Given, Shown

Title = Annotated[str, Field(max_length=200)]
Model = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]


class ActivityQuery(Asked):
    """`mine`: of one's own chats alone, whatever else one may see."""

    mine: bool = False


class ChatsQuery(PageQuery):
    """`q` is looked for in titles and prompts; `mine` as in the activity."""

    archived: bool = False
    mine: bool = False
    q: Annotated[str, Field(max_length=200)] = ""


class ChatCreation(Given):
    title: Title = ""
    provider: str | None = Field(None, min_length=1, max_length=64)
    model: Model | None = None


class ChatChange(Given):
    """What is left out stays as it is. `provider` and `model` are those of the next runs; `model: null` is the provider's own. Messages
    cannot be sent: they are what the runs' events say."""

    title: Title | None = None
    archived: bool | None = None
    provider: str | None = Field(None, min_length=1, max_length=64)
    model: Model | None = None


class ChatRead(Given):
    """What was seen: the news as of `newsAt`, unchanged from a chat's view; left out: all there is now."""

    news_at: Moment | None = None

    @property
    def seen_at(self) -> float | None:
        return None if self.news_at is None else ids.posix_of(self.news_at)


class ChatRun(Shown):
    """The run of a chat that matters: its first open one, else its last."""

    run_id: str
    status: Status
    provider: str
    waiting_for: WaitingFor | None = None
    stop_requested_at: str | None = None
    failure_code: FailureCode | None = None
    created_at: str
    finished_at: str | None = None


class ChatView(Shown):
    """A chat, which is a session: both ids are the same. `newsAt`: when a run of it ended last or began to wait for people; `unread`: that
    is younger than one's mark. `openRuns` counts those queued too, `pendingRequests` what waits for an answer."""

    chat_id: str
    session_id: str
    user_id: str
    title: str
    provider: str
    model: str | None
    repo: dict[str, str] | None = None
    archived: bool
    unread: bool
    news_at: str | None = None
    run: ChatRun | None = None
    open_runs: int
    pending_requests: int
    created_at: str
    updated_at: str


class ActivityView(Shown):
    """What goes on in chats, to be asked every few seconds: lists of chats and of pending requests are as they were while `version` is.
    `running` and `waiting` count chats (queued ones run too), `unread` those among the 200 used last, `pending` requests, to 500."""

    version: str
    unread: int
    running: int
    waiting: int
    pending: int


class ChatQuery(Asked):
    """`limit` turns (a message and what came of it) at most; a page ends earlier at 400 events or 512 KiB. `before` is the
    `previousCursor` of the page that follows. With `limit=0` it is the chat alone."""

    before: str | None = None
    limit: int = Field(20, ge=0, le=100)


class ChatWithMessages(ChatView):
    """A chat with the newest of its messages, in the form of AI SDK's UIMessage, the oldest first. What is before them is at
    `?before=previousCursor`. A message that is on two pages has the same id on both: its parts are those of both, the earlier first."""

    messages: list[Annotated[dict[str, Any], ShownAs(ChatMessage)]]
    previous_cursor: str | None


def chat_fields(chat: Chat, waiting: dict[str, Any] | None) -> dict[str, Any]:
    session: ChatSession = chat.session
    repo = {"url": session.repo_url, "bundleId": session.bundle_id, "ref": session.repo_ref}
    return {
        "chat_id": session.id,
        "session_id": session.id,
        "user_id": session.user_id,
        "title": session.title,
        "provider": session.provider,
        "model": session.model,
        "repo": {name: value for name, value in repo.items() if value} or None,
        "archived": session.archived_at is not None,
        "unread": chat.unread,
        "news_at": when(chat.news_at),
        "run": _run(chat, waiting),
        "open_runs": chat.open_runs,
        "pending_requests": chat.pending_requests,
        "created_at": when(session.created_at),
        "updated_at": when(session.updated_at),
    }


def chat_views(found: Sequence[Chat]) -> list[ChatView]:
    reasons = chats.reasons(found, shortage())
    return [ChatView(**chat_fields(chat, reasons.get(chat.run.id) if chat.run else None)) for chat in found]


def activity_view(found: Activity) -> ActivityView:
    return ActivityView(
        version=found.version,
        unread=found.unread,
        running=found.running,
        waiting=found.waiting,
        pending=found.pending,
    )


def _run(chat: Chat, waiting: dict[str, Any] | None) -> ChatRun | None:
    run = chat.run
    if run is None:
        return None
    fields = {
        "run_id": run.id,
        "status": run.status,
        "provider": run.provider,
        "waiting_for": {**waiting, "since": when(waiting["since"])} if waiting else None,
        "stop_requested_at": when(run.stop_requested_at),
        "failure_code": run.failure_code,
        "created_at": when(run.created_at),
        "finished_at": when(run.finished_at),
    }
    return ChatRun.model_validate(fields)
