"""Chats as somebody sees them: sessions with the run that matters now and what of it he has not read. One query for a page, however
many chats there are. Making and changing sessions is in `sessions`, their messages in `chat_pages`.

The run that matters is the first open one, else the last. *News* of a chat is the end of a run, or that its run began to wait for
people. A chat is unread where its news is younger than the reader's mark; somebody else's chat only once it has a mark at all, that
is, for who has opened it before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import db
from app.domain import pages
from app.domain.pages import Page
from app.domain.permissions import Principal
from app.domain.run_state import RunStatus
from app.models import AgentRun, ChatRead, ChatSession
from app.services.waiting_reason import waiting_for

RECENT = 200
"""Of so many chats, those used last, `activity` counts which are unread."""
SHOWN_PENDING = 500
MILLISECOND = 0.001

_SESSION = (
    *("id", "tenant_id", "user_id", "title", "provider", "model", "repo_url", "repo_ref", "bundle_id"),
    *("last_seq", "created_at", "updated_at", "archived_at"),
)
_RUN = (
    *(
        "id",
        "tenant_id",
        "session_id",
        "session_seq",
        "status",
        "provider",
        "priority",
        "failure_code",
        "stop_requested_at",
    ),
    *("bound_until", "retry_at", "lease_until", "created_at", "claimed_at", "waiting_since", "finished_at"),
)

# A page of chats, each with the run that matters, when its last run ended, the reader's mark, and what is open in it.
_PAGE = f"""
SELECT {", ".join(f"c.{name}" for name in _SESSION)},
       {", ".join(f"r.{name}" for name in _RUN)},
       m.read_at,
       (SELECT MAX(e.finished_at) FROM agent_runs e WHERE e.session_id = c.id AND e.finished_at IS NOT NULL),
       (SELECT COUNT(*) FROM agent_runs o WHERE o.session_id = c.id AND o.finished_at IS NULL),
       (SELECT COUNT(*) FROM human_loop_requests h WHERE h.run_id = r.id AND h.status = 'open')
FROM (SELECT * FROM chat_sessions WHERE {{where}} ORDER BY updated_at DESC, id DESC LIMIT ?) c
LEFT JOIN agent_runs r ON r.id = COALESCE(
    (SELECT o.id FROM agent_runs o WHERE o.session_id = c.id AND o.finished_at IS NULL ORDER BY o.session_seq LIMIT 1),
    (SELECT l.id FROM agent_runs l WHERE l.session_id = c.id ORDER BY l.session_seq DESC LIMIT 1))
LEFT JOIN chat_reads m ON m.tenant_id = c.tenant_id AND m.user_id = ? AND m.session_id = c.id
ORDER BY c.updated_at DESC, c.id DESC
"""  # noqa: S608 - names of ours

# Chats with an open run, and its state: all that is going on now.
_OPEN = """
SELECT r.session_id, r.id, r.status, r.stop_requested_at FROM agent_runs r
WHERE r.finished_at IS NULL AND r.tenant_id = ? AND r.session_id IN (SELECT id FROM chat_sessions WHERE {where})
ORDER BY r.session_id, r.session_seq
"""

# Requests that wait for an answer.
_PENDING = """
SELECT h.id FROM human_loop_requests h
WHERE h.tenant_id = ? AND h.status = 'open' AND h.session_id IN (SELECT id FROM chat_sessions WHERE {where})
ORDER BY h.created_at, h.id LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which chats: `query` is looked for in titles and prompts, whatever the case; `mine` leaves out what others own."""

    archived: bool = False
    mine: bool = False
    query: str = ""


@dataclass(frozen=True, slots=True)
class Chat:
    """A session, the run that matters (few of its columns) and what a list shows of both. Times are POSIX seconds."""

    session: ChatSession
    run: AgentRun | None
    news_at: float | None
    unread: bool
    open_runs: int
    pending_requests: int


@dataclass(frozen=True, slots=True)
class Activity:
    """What goes on in somebody's chats. `version` is another one whenever a list of them, or of what is pending, may be another."""

    version: str
    unread: int
    running: int
    waiting: int
    pending: int


Condition = tuple[str, list[object]]


def list_page(principal: Principal, wanted: Wanted, *, cursor: str | None, limit: int) -> Page[Chat]:
    """Return the chats that the principal sees, the one used last first."""
    where, values = _reach(principal, mine=wanted.mine)
    where += f" AND archived_at IS {'NOT ' if wanted.archived else ''}NULL"
    if wanted.query:
        where, values = _found(where, values, wanted.query)
    if cursor is not None:
        updated_at, session_id = pages.decode(cursor, float, str)
        where += " AND (updated_at < ? OR (updated_at = ? AND id < ?))"
        values = [*values, updated_at, updated_at, session_id]
    found = _select(principal, (where, values), limit + 1)
    last = found[limit - 1].session if len(found) > limit else None
    return Page(found[:limit], pages.encode(float(last.updated_at), last.id) if last else None)


def get(principal: Principal, session: ChatSession) -> Chat:
    """Return one chat, which was loaded for this principal."""
    return _select(principal, ("id = ?", [session.id]), 1)[0]


def mark_read(principal: Principal, session: ChatSession, news_at: float | None) -> None:
    """Note that the principal has seen the news of `news_at`, as the wire has it, or all there is now. A mark never goes back."""
    now = db.now()
    read_at = now if news_at is None else min(news_at + MILLISECOND, now)  # times are cut to milliseconds on the wire
    row = {"tenant_id": session.tenant_id, "user_id": principal.user_id, "session_id": session.id, "read_at": read_at}
    ChatRead.insert(**row).on_conflict(
        conflict_target=[ChatRead.tenant_id, ChatRead.user_id, ChatRead.session_id],
        update={ChatRead.read_at: read_at},
        where=ChatRead.read_at < read_at,
    ).execute()


def activity(principal: Principal, *, mine: bool) -> Activity:
    """Return what goes on, in three small queries: a page asks this every few seconds."""
    where, values = _reach(principal, mine=mine)
    recent = _select(principal, (where + " AND archived_at IS NULL", values), RECENT)
    going = _rows(_OPEN.format(where=where), [principal.tenant_id, *values])
    pending = _rows(_PENDING.format(where=where), [principal.tenant_id, *values, SHOWN_PENDING])
    first: dict[str, str] = {}
    for session_id, _, status, _ in going:
        first.setdefault(session_id, status)
    waiting = sum(status == RunStatus.WAITING_HUMAN for status in first.values())
    unread = sum(chat.unread for chat in recent)
    seen = [_traits(chat) for chat in recent]
    version = hashlib.sha256(repr((seen, going, pending)).encode()).hexdigest()[:32]
    return Activity(version, unread, len(first) - waiting, waiting, len(pending))


def reasons(chats: Sequence[Chat], shortage: str | None) -> dict[str, dict[str, Any]]:
    """Return why the runs of these chats wait, by run id: as `waiting_for`, without places. Runs alike are asked about once."""
    found: dict[str, dict[str, Any]] = {}
    known: dict[tuple[object, ...], dict[str, Any] | None] = {}
    now = db.now() if any(chat.run and chat.run.finished_at is None for chat in chats) else 0.0
    for chat in chats:
        run = chat.run
        if run is None or run.finished_at is not None or run.status == RunStatus.RUNNING:
            continue
        since = run.waiting_since or run.claimed_at or run.created_at
        if run.status == RunStatus.WAITING_HUMAN:
            found[run.id] = {"reason": "human" if chat.pending_requests else "delivery", "since": since}
            continue
        kind = (run.status, run.provider, run.bound_until, (run.retry_at or 0) > now, (run.lease_until or 0) > now)
        if kind not in known:
            known[kind] = waiting_for(run, shortage)
        reason = known[kind]
        if reason is not None:
            found[run.id] = {name: value for name, value in reason.items() if name != "position"} | {"since": since}
    return found


# --- inside ----------------------------------------------------------------------------------------------------------------


def _reach(principal: Principal, *, mine: bool) -> Condition:
    """Return the condition on `chat_sessions` of what the principal sees and was not deleted."""
    user_id = principal.user_id if mine else principal.owner_filter
    if user_id is None:
        return "tenant_id = ? AND deleted_at IS NULL", [principal.tenant_id]
    return "tenant_id = ? AND user_id = ? AND deleted_at IS NULL", [principal.tenant_id, user_id]


def _found(where: str, values: list[object], query: str) -> Condition:
    like = "LIKE" if db.is_sqlite() else "ILIKE"
    escaped = query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    match = f"{like} ? ESCAPE '\\'"
    prompts = f"SELECT 1 FROM agent_runs p WHERE p.session_id = chat_sessions.id AND p.prompt {match}"  # noqa: S608 - a word of ours
    return f"{where} AND (title {match} OR EXISTS ({prompts}))", [*values, *[f"%{escaped}%"] * 2]


def _select(principal: Principal, condition: Condition, limit: int) -> list[Chat]:
    where, values = condition
    rows = _rows(_PAGE.format(where=where), [*values, limit, principal.user_id])
    return [_chat(principal, row) for row in rows]


def _chat(principal: Principal, row: Sequence[Any]) -> Chat:
    border = len(_SESSION) + len(_RUN)
    session = ChatSession(**dict(zip(_SESSION, row, strict=False)))
    run = AgentRun(**dict(zip(_RUN, row[len(_SESSION) :], strict=False))) if row[len(_SESSION)] else None
    read_at, ended_at, open_runs, pending = row[border:]
    asked_at = run.waiting_since if run is not None and run.status == RunStatus.WAITING_HUMAN else None
    news = [at for at in (ended_at, asked_at) if at is not None]
    news_at = max(news) if news else None
    mark = read_at if read_at is not None else 0.0 if session.user_id == principal.user_id else None
    unread = news_at is not None and mark is not None and news_at > mark
    return Chat(session, run, news_at, unread, open_runs, pending)


def _traits(chat: Chat) -> tuple[object, ...]:
    """What a list shows of a chat and can change."""
    session, run = chat.session, chat.run
    shown = (run.id, run.status, run.stop_requested_at, run.retry_at) if run else None
    mine = (session.id, session.title, session.provider, session.model, session.updated_at)
    return (*mine, shown, chat.news_at, chat.unread, chat.open_runs, chat.pending_requests)


def _rows(sql: str, values: Sequence[object]) -> list[Any]:
    database: Any = db.proxy.obj
    with db.reading():
        return list(database.execute_sql(sql.replace("?", database.param), tuple(values)).fetchall())
