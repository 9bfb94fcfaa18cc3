"""Session workers: the sandboxes of sessions. What is wanted of one is a wish; a worker grants it (SPEC §4)."""

from __future__ import annotations

from typing import Any

from app import db
from app.domain.permissions import Permission, Principal
from app.domain.problems import PROBLEMS
from app.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from app.models import ChatSession, SessionWorker
from app.services import run_lists, session_workers, worker_cleanup, worker_sweeps
from app.services.session_workers import Wish
from app.services.worker_cleanup import Cleanup
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import PageOf, PageQuery, WaitBody, WaitQuery
from web.schemas.session_workers import CleanupBody, CleanupView, SessionWorkerView
from web.waiting import wait_for
from web.wire import Reply

routes = Routes("session workers")


@routes.get("/api/session-workers", Permission.WORKER_READ)
def list_workers(principal: Principal, query: PageQuery) -> PageOf[SessionWorkerView]:
    """List the sandboxes of sessions."""
    page = run_lists.list_workers(principal, cursor=query.cursor, limit=query.limit)
    titles = run_lists.titles_of([worker.session_id for worker in page.items])
    items = [_view(worker, titles.get(worker.session_id, "")) for worker in page.items]
    return PageOf[SessionWorkerView](items=items, next_cursor=page.next_cursor)


@routes.get("/api/session-workers/<session_id>", Permission.WORKER_READ)
def get_worker(session: ChatSession) -> SessionWorkerView:
    """Read the sandbox of a session."""
    worker = _find(session)
    if worker is None:
        raise NotFound("session worker")
    return _view(worker, session.title)


@routes.post("/api/session-workers/<session_id>/activate", Permission.WORKER_OPERATE, answers=SessionWorkerView)
def activate(session: ChatSession, parts: Parts, body: WaitBody, query: WaitQuery) -> Reply:
    """Start the sandbox, with the session's files in it."""
    return _wish(parts, session, "activate", query.timeout_ms if query.timeout_ms is not None else body.timeout_ms)


@routes.post("/api/session-workers/<session_id>/stop", Permission.WORKER_OPERATE, answers=SessionWorkerView)
def stop(session: ChatSession, parts: Parts, body: WaitBody, query: WaitQuery) -> Reply:
    """Save the files and stop the sandbox; refused while they cannot be saved."""
    return _wish(parts, session, "stop", query.timeout_ms if query.timeout_ms is not None else body.timeout_ms)


@routes.post("/api/session-workers/<session_id>/sync", Permission.WORKER_OPERATE, answers=SessionWorkerView)
def sync(session: ChatSession, parts: Parts, body: WaitBody, query: WaitQuery) -> Reply:
    """Save the files now."""
    return _wish(parts, session, "sync", query.timeout_ms if query.timeout_ms is not None else body.timeout_ms)


@routes.post("/api/session-workers/cleanup/idle", Permission.WORKER_MAINTAIN, answers=CleanupView)
def cleanup_idle(principal: Principal, parts: Parts, body: CleanupBody) -> Reply:
    """Save and stop the tenant's sandboxes that nobody has used for a while."""
    seconds = parts.settings.idle_seconds if body.older_than_seconds is None else body.older_than_seconds
    found = worker_sweeps.list_idle(db.now() - seconds)
    return clean_up(parts, worker_cleanup.begin(principal.tenant_id, found, "stop"), body)


@routes.post("/api/session-workers/cleanup/stopped", Permission.WORKER_MAINTAIN, answers=CleanupView)
def cleanup_stopped(principal: Principal, parts: Parts, body: CleanupBody) -> Reply:
    """Remove the tenant's sandboxes that were stopped long ago; their files live on in the object store."""
    seconds = parts.settings.remove_after_seconds if body.older_than_seconds is None else body.older_than_seconds
    found = worker_sweeps.list_long_stopped(db.now() - seconds)
    return clean_up(parts, worker_cleanup.begin(principal.tenant_id, found, "remove"), body)


def clean_up(parts: Parts, cleanup: Cleanup, body: CleanupBody) -> Reply:
    """Wish the same of many sandboxes, wait a little; 202 where some are not decided yet."""
    for session_id in cleanup.session_ids:
        parts.container.session_workers.wish(session_id, cleanup.wish)
    done = wait_for(lambda: worker_cleanup.find_result(cleanup), body.timeout_ms)
    result = done or worker_cleanup.look(cleanup)
    view = CleanupView.model_validate(result)
    return Reply(view) if done else Reply(view, 202, {"Location": "/api/session-workers"})


def _wish(parts: Parts, session: ChatSession, wish: Wish, timeout_ms: int) -> Reply:
    """Wish, wait a little; 202 with where to look when it takes longer, the refusal as a problem when there is one."""
    parts.container.session_workers.wish(session.id, wish)
    granted = wait_for(lambda: _granted(session), timeout_ms)
    worker = granted or _find(session)
    if worker is None:
        raise NotFound("session worker")
    if granted is None:
        return Reply(_view(worker, session.title), 202, {"Location": f"/api/session-workers/{session.id}"})
    if granted.wish_error:
        raise _refusal(granted.wish_error)
    return Reply(_view(granted, session.title))


def _granted(session: ChatSession) -> SessionWorker | None:
    worker = _find(session)
    return worker if worker is not None and worker.wish is None else None


def _refusal(text: str) -> AppError:
    """A refused wish is kept as `code: message`; the list of problems knows what kind of error it is."""
    code, separator, message = text.partition(": ")
    if not separator or code not in PROBLEMS:
        return Conflict("wish_refused", text)
    kinds: dict[int, type[AppError]] = {422: Invalid, 503: Unavailable}
    return kinds.get(PROBLEMS[code].status, Conflict)(code, message)


def _find(session: ChatSession) -> SessionWorker | None:
    found: SessionWorker | None = SessionWorker.get_or_none(SessionWorker.session_id == session.id)
    return found


def _view(worker: SessionWorker, title: str) -> SessionWorkerView:
    facts: dict[str, Any] = session_workers.view(worker)
    return SessionWorkerView.model_validate({**facts, "title": title})
