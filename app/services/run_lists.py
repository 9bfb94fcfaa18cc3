"""Lists as a principal may see them: runs, their todos, what they ask of people, sandboxes, snapshots. One object: `web.access`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain import pages
from app.domain.events import Event, EventType
from app.domain.pages import Page
from app.domain.permissions import Principal
from app.models import AgentRun, ChatSession, HumanLoopRequest, RunEvent, SessionWorker, Snapshot, Todo


def list_page(
    principal: Principal, *, session_id: str | None, status: str | None, cursor: str | None, limit: int
) -> Page[AgentRun]:
    """Return runs, the newest first."""
    query = _reachable(AgentRun, principal)
    if session_id is not None:
        query = query.where(AgentRun.session_id == session_id)
    if status is not None:
        query = query.where(AgentRun.status == status)
    if cursor is not None:
        query = query.where(AgentRun.id < pages.decode(cursor, str)[0])
    return _page(query.order_by(AgentRun.id.desc()), limit, lambda run: (run.id,))


def list_open_ids(session_id: str) -> list[str]:
    """Return the runs of a session that have not ended, in their order."""
    query: Any = AgentRun.select(AgentRun.id).where(AgentRun.session_id == session_id, AgentRun.finished_at.is_null())
    return [run_id for (run_id,) in query.order_by(AgentRun.session_seq).tuples()]


def list_open(session_id: str, *, cursor: str | None, limit: int) -> Page[AgentRun]:
    """Return the runs of a session that have not ended, in their order: the one at work first."""
    query = AgentRun.select().where(AgentRun.session_id == session_id, AgentRun.finished_at.is_null())
    if cursor is not None:
        query = query.where(AgentRun.session_seq > pages.decode(cursor, int)[0])
    return _page(query.order_by(AgentRun.session_seq), limit, lambda run: (int(run.session_seq),))


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are wanted: open or closed ones, of one session or run where that is given, of one's `mine` sessions alone."""

    is_open: bool
    session_id: str | None = None
    run_id: str | None = None
    mine: bool = False


def list_requests(
    principal: Principal, wanted: RequestFilter, *, cursor: str | None, limit: int
) -> Page[HumanLoopRequest]:
    """Return requests: open ones the oldest first, closed ones the newest first."""
    is_open, session_id, run_id = wanted.is_open, wanted.session_id, wanted.run_id
    row = HumanLoopRequest
    query = _reachable(row, principal, mine=wanted.mine).where(
        (row.status == "open") if is_open else (row.status != "open")
    )
    if session_id is not None:
        query = query.where(row.session_id == session_id)
    if run_id is not None:
        query = query.where(row.run_id == run_id)
    if cursor is not None:
        at, request_id = pages.decode(cursor, float, str)
        beyond = (row.created_at > at) if is_open else (row.created_at < at)
        same = (row.id > request_id) if is_open else (row.id < request_id)
        query = query.where(beyond | ((row.created_at == at) & same))
    order = (row.created_at, row.id) if is_open else (row.created_at.desc(), row.id.desc())
    return _page(query.order_by(*order), limit, lambda request: (float(request.created_at), request.id))


def list_workers(principal: Principal, *, cursor: str | None, limit: int) -> Page[SessionWorker]:
    """Return session workers, the one of the newest session first."""
    query = _reachable(SessionWorker, principal)
    if cursor is not None:
        query = query.where(SessionWorker.session_id < pages.decode(cursor, str)[0])
    return _page(query.order_by(SessionWorker.session_id.desc()), limit, lambda worker: (worker.session_id,))


def list_snapshots(session_id: str, *, cursor: str | None, limit: int) -> Page[Snapshot]:
    """Return a session's snapshots, the newest first."""
    query = Snapshot.select().where(Snapshot.session_id == session_id)
    if cursor is not None:
        query = query.where(Snapshot.id < pages.decode(cursor, str)[0])
    return _page(query.order_by(Snapshot.id.desc()), limit, lambda snapshot: (snapshot.id,))


def find_todo(run_id: str) -> Todo | None:
    found: Todo | None = Todo.get_or_none(Todo.run_id == run_id)
    return found


def list_todo_events(run_id: str, *, after: int, limit: int) -> list[RunEvent]:
    query = RunEvent.select().where(
        RunEvent.run_id == run_id, RunEvent.type == EventType.TODO_UPDATE, RunEvent.seq > after
    )
    return list(query.order_by(RunEvent.seq).limit(limit))


def events_of(rows: list[RunEvent]) -> list[Event]:
    """Return rows as the events they are."""
    return [Event(row.run_id, row.seq, row.type, row.data, row.ts, row.src) for row in rows]


def titles_of(session_ids: list[str]) -> dict[str, str]:
    """Return the titles of these sessions by id."""
    rows: Any = ChatSession.select(ChatSession.id, ChatSession.title).where(ChatSession.id.in_(session_ids)).tuples()
    return dict(rows)


def _reachable(table: Any, principal: Principal, *, mine: bool = False) -> Any:
    """Begin a query of what hangs on sessions that this principal sees (those he owns, where he asks for `mine`)."""
    query = table.select().where(table.tenant_id == principal.tenant_id)
    sessions = ChatSession.select(ChatSession.id).where(ChatSession.tenant_id == principal.tenant_id)
    owner = principal.user_id if mine else principal.owner_filter
    if owner is None:
        return query.where(table.session_id.not_in(sessions.where(ChatSession.deleted_at.is_null(False))))
    own = sessions.where(ChatSession.user_id == owner, ChatSession.deleted_at.is_null())
    return query.where(table.session_id.in_(own))


def _page(query: Any, limit: int, key: Any) -> Page[Any]:
    rows = list(query.limit(limit + 1))
    more = len(rows) > limit
    return Page(rows[:limit], pages.encode(*key(rows[limit - 1])) if more else None)
