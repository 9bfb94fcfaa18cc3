"""Starting a run: the same creation, answered as a stream, as the finished run, or at once."""

from __future__ import annotations

from typing import Any

from flask import Response, request

from app.domain.permissions import Permission, Principal
from app.errors import Conflict, NotFound
from app.log import label
from app.models import AgentRun
from app.services import run_creation
from app.services.idempotency import Found
from web import access, creation
from web.keys import Held
from web.parts import Parts
from web.routing import Routes
from web.schemas.runs import Enqueue, QueueItem, RunAggregate, RunCreation, StartQuery, run_aggregate, run_view
from web.stream import EVENT_STREAM, open_stream
from web.waiting import wait_for
from web.wire import Reply, json_response

routes = Routes("runs")


def _started_again(found: Found, principal: Principal, parts: Parts, query: StartQuery) -> Any:
    """A repeated start: the stream from its beginning, the stored answer, or, where the first request never came to store one, the
    run as it is."""
    run = AgentRun.get_or_none(AgentRun.id == found.resource_id)
    if run is None:
        return None
    if _wants_stream():
        return open_stream(parts, principal, run, 0, query.format)
    return None if found.state == "stored" else _accepted(run)


@routes.post(
    "/api/runs/start", Permission.RUN_CREATE, replay=_started_again, answers=RunAggregate, produces=EVENT_STREAM
)
def start(principal: Principal, parts: Parts, body: RunCreation, query: StartQuery, key: Held) -> Reply | Response:
    """Start a run: a stream of its events for `Accept: text/event-stream`, 202 at once for `Prefer: respond-async`, otherwise the
    run and its final text, or 202 when it takes longer than `timeoutMs`."""
    run = run_creation.create(creation.new_run(parts, principal, body, key.record), parts.container.bell)
    if _wants_stream():
        accepted = _accepted(run)
        response = open_stream(parts, principal, run, 0, query.format)
        key.settle(json_response(accepted.body.to_json() if accepted.body else b"", 202, accepted.headers))
        response.headers.update(accepted.headers)
        return response
    if "respond-async" in request.headers.get("Prefer", ""):
        return _accepted(run, {"Preference-Applied": "respond-async"})
    label(run_id=run.id, session_id=run.session_id)
    done = wait_for(lambda: _finished(run.id), body.timeout_ms)
    return _accepted(AgentRun.get_by_id(run.id)) if done is None else Reply(run_aggregate(done))


def _enqueued_again(found: Found, **_: Any) -> Any:
    run = AgentRun.get_or_none(AgentRun.id == found.resource_id)
    return None if run is None or found.state == "stored" else _accepted(run)


@routes.post("/api/runs/queue/enqueue", Permission.RUN_CREATE, replay=_enqueued_again, answers=QueueItem, status=202)
def enqueue(principal: Principal, parts: Parts, body: Enqueue, key: Held) -> Reply:
    """Queue a run and answer at once. A `runId` that is known already returns that run and makes nothing."""
    known = _known(principal, body.run_id) if body.run_id is not None else None
    if known is not None:
        return _accepted(known)
    try:
        run = run_creation.create(creation.new_run(parts, principal, body, key.record), parts.container.bell)
    except Conflict as conflict:  # of two requests for one new runId the other was first
        known = _known(principal, body.run_id) if body.run_id is not None and conflict.code == "run_exists" else None
        if known is None:
            raise
        return _accepted(known)
    return _accepted(run)


def _known(principal: Principal, run_id: str) -> AgentRun | None:
    """Return the caller's own run of this id. One that is out of his reach is only a name that is taken: it is refused where the run
    would be made (409 `run_exists`), with the same answer whoever has it, and after all else in the body was found right."""
    try:
        return access.get_run(principal, run_id, Permission.RUN_CREATE)
    except NotFound:
        return None


def _wants_stream() -> bool:
    return request.accept_mimetypes.best_match(["application/json", EVENT_STREAM]) == EVENT_STREAM


def _finished(run_id: str) -> AgentRun | None:
    found: AgentRun | None = AgentRun.get_or_none(AgentRun.id == run_id, AgentRun.finished_at.is_null(False))
    return found


def _accepted(run: AgentRun, headers: dict[str, str] | None = None) -> Reply:
    label(run_id=run.id, session_id=run.session_id)
    return Reply(run_view(run), 202, {"Location": f"/api/runs/{run.id}", **(headers or {})})
