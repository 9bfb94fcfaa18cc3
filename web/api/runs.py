"""Runs: reading, stopping, moving, following. Starting them is in `run_start`."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app import db
from app.domain.events import envelope
from app.domain.permissions import Permission, Principal
from app.errors import Conflict
from app.log import logger
from app.models import AgentRun
from app.services import run_creation, run_lists, runs
from app.services.log_pages import LogPages
from app.services.stop_all import stop_all
from web import access
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import PageOf, when
from web.schemas.events import EventPage
from web.schemas.runs import (
    EventsQuery,
    LogQuery,
    MoveBody,
    QueueItem,
    QueueSummary,
    RunAggregate,
    RunsQuery,
    RunView,
    StopBody,
    StreamQuery,
    TodoView,
    queue_item,
    run_aggregate,
    run_view,
)
from web.schemas.session_workers import CleanupView
from web.stream import EVENT_STREAM, Names, cursor_of, open_stream, parse_cursor, require_log

routes = Routes("runs")


@routes.get("/api/runs", Permission.RUN_READ)
def list_runs(principal: Principal, query: RunsQuery) -> PageOf[RunView]:
    """List runs, the newest first."""
    page = run_lists.list_page(
        principal, session_id=query.session_id, status=query.status, cursor=query.cursor, limit=query.limit
    )
    return PageOf[RunView](items=[run_view(run) for run in page.items], next_cursor=page.next_cursor)


@routes.get("/api/runs/<run_id>", Permission.RUN_READ)
def get_run(run: AgentRun) -> RunAggregate:
    """Read a run: its state, why it waits or failed, its usage and final text."""
    return run_aggregate(run)


@routes.post("/api/runs/<run_id>/stop", Permission.RUN_STOP)
def stop_run(run: AgentRun, principal: Principal, parts: Parts, body: StopBody) -> RunView:
    """Ask for a run to be stopped: its agent is interrupted, then ended. A finished run stays as it is."""
    if run.finished_at is None:
        with db.transaction():
            payload = {"by": principal.user_id, "reason": body.reason or "stopped"}
            run_creation.add_command(run.tenant_id, run.id, "stop", "stop", payload)
        parts.container.bell.ring_command(run.id)
    return run_view(AgentRun.get_by_id(run.id))


@routes.post("/api/runs/stop-all", Permission.RUN_STOP_ALL)
def stop_all_runs(principal: Principal, parts: Parts, body: StopBody) -> CleanupView:
    """Ask for every open run of the tenant to be stopped, in one transaction. `skipped` were asked to stop before."""
    reason = body.reason or "stopped with all others"
    result = stop_all(principal.tenant_id, principal.user_id, reason, parts.container.bell)
    logger.warning(
        "all runs of a tenant stopped", tenant_id=principal.tenant_id, by=principal.user_id, runs=result["done"]
    )
    return CleanupView.model_validate(result)


@routes.post("/api/runs/<run_id>/move", Permission.RUN_MOVE)
def move_run(run: AgentRun, principal: Principal, body: MoveBody) -> RunView:
    """Put a queued run before another queued one of its session, or behind all of them."""
    before = None if body.before is None else access.get_run(principal, body.before, Permission.RUN_MOVE)
    if before is not None and (before.id == run.id or before.session_id != run.session_id):
        raise Conflict("not_queued", "`before` must be another run of the same session.")
    runs.move(run, before)
    return run_view(AgentRun.get_by_id(run.id))


# --- the log -----------------------------------------------------------------------------------------------------------------


@routes.get("/api/runs/<run_id>/stream", Permission.RUN_READ, produces=EVENT_STREAM)
def stream_run(run: AgentRun, principal: Principal, parts: Parts, query: StreamQuery) -> Response:
    """Follow a run's log from behind `cursor` (or Last-Event-ID) until it is closed."""
    return open_stream(parts, principal, run, cursor_of(request, query.cursor), query.format)


@routes.get("/api/runs/<run_id>/events", Permission.RUN_READ)
def list_events(run: AgentRun, parts: Parts, query: LogQuery) -> EventPage:
    """Read a page of a run's log, from either end, of some types alone. `nextCursor` is null once the closed log was read to its end."""
    require_log(run)
    log = LogPages(parts.log_reader, run, query.types.split(",") if query.types else ())
    if query.before is None:
        page = log.after(parse_cursor(query.cursor), query.limit)
    else:
        page = log.before(None if query.before == "end" else parse_cursor(query.before), query.limit)
    names = Names.of(run)
    return EventPage(
        items=[envelope(event, names.session_id, names.trace_id) for event in page.events],
        next_cursor=None if page.next_seq is None else str(page.next_seq),
        previous_cursor=None if page.previous_seq is None else str(page.previous_seq),
    )


@routes.get("/api/runs/<run_id>/todos", Permission.RUN_READ)
def get_todos(run: AgentRun) -> TodoView:
    """Read the agent's todo list as it is now."""
    todo = run_lists.find_todo(run.id)
    if todo is None:
        return TodoView(run_id=run.id, todos=[], seq=0)
    return TodoView(run_id=run.id, todos=todo.items, seq=todo.seq, updated_at=when(todo.updated_at))


@routes.get("/api/runs/<run_id>/todos/events", Permission.RUN_READ)
def list_todo_events(run: AgentRun, query: EventsQuery) -> EventPage:
    """Read how the todo list changed: its events, whole lists each."""
    require_log(run)
    names = Names.of(run)
    rows = run_lists.list_todo_events(run.id, after=parse_cursor(query.cursor), limit=query.limit)
    items = [envelope(event, names.session_id, names.trace_id) for event in run_lists.events_of(rows)]
    return EventPage(items=items, next_cursor=str(rows[-1].seq) if len(rows) == query.limit else None)


# --- the queue ---------------------------------------------------------------------------------------------------------------


@routes.get("/api/runs/queue", Permission.QUEUE_READ)
def get_queue(principal: Principal) -> QueueSummary:
    """Read how many runs are queued and how long the oldest has waited."""
    return QueueSummary(**_snake(runs.queue_summary(principal.tenant_id)))


@routes.get("/api/runs/queue/<run_id>", Permission.RUN_READ)
def get_queue_item(run: AgentRun) -> QueueItem:
    """Read a run's place in the queue, its lease and attempts."""
    return queue_item(run)


def _snake(summary: dict[str, Any]) -> dict[str, Any]:
    return {"depth": summary["depth"], "oldest_age_seconds": round(summary["oldestAgeSeconds"], 3)}
