"""External executors: binding a run, and the calls that its token opens. What becomes of a callback is `app.services.external_drive`."""

from __future__ import annotations

import re
from collections.abc import Callable

from app import ids
from app.domain.events import EventType
from app.domain.permissions import Permission, Principal
from app.errors import Conflict, NotFound
from app.models import AgentRun
from app.services import external_requests, external_runs
from app.services.external_runs import Bound, Callback
from app.services.idempotency import Found
from web import access
from web.keys import Held
from web.parts import Parts
from web.routing import RUN_TOKEN, Routes
from web.schemas.external import (
    BindBody,
    BindingView,
    BoundRunView,
    CallbackBody,
    CallbackView,
    answers_of,
    data_of,
)
from web.waiting import wait_for
from web.wire import Reply

routes = Routes("external executors")

APPLIED_WITHIN_MS = 1500
"""A callback that changes the run's state is answered when it took effect, or after this long."""
RUN_ID = re.compile(r"run_[0-9A-Za-z_-]{1,64}\Z")
_TEXT = frozenset(
    {
        EventType.MESSAGE_DELTA,
        EventType.THINKING_DELTA,
        EventType.THINKING_STOP,
        EventType.TOOL_CALL,
        EventType.TOOL_OUTPUT,
    }
)


def _bind_again(found: Found, *, principal: Principal, parts: Parts, query: object) -> Reply | None:
    """A repeated request gets a token of its own as long as the executor has the run; then the stored answer, without one."""
    del query
    run_id, _, executor_id = str(found.resource_id).partition(" ")
    run = access.get_run(principal, run_id, Permission.RUN_BIND)
    if external_runs.is_bound_to(run, executor_id):
        return _bind(run, executor_id, parts)
    if found.answer is None:
        raise Conflict("bind_superseded", "The run is not this executor's any more.")
    return None


@routes.post("/api/runs/<run_id>/bind", Permission.RUN_BIND, hide=("token",), replay=_bind_again, answers=BindingView)
def bind_run(run_id: str, principal: Principal, parts: Parts, body: BindBody, key: Held) -> Reply:
    """Give a run to an external executor: a queued one, one that another executor had, or a new one of this id. The answer's token
    opens this run's callbacks. The same executor gets the same epoch again; another one raises it, and old tokens are refused."""
    session = access.get_session(principal, body.session_id, Permission.RUN_BIND)
    run: AgentRun | None = AgentRun.get_or_none(AgentRun.id == run_id)
    if run is None:
        if not RUN_ID.match(run_id):
            raise NotFound("run")
        run = external_runs.create(run_id, session, principal.user_id, body.prompt, parts.container.bell)
    elif run.session_id != session.id:
        raise _of_another_session(principal, run)
    made = f"{run.id} {body.executor_id}"
    return _bind(run, body.executor_id, parts, lambda: key.record(made))


def _of_another_session(principal: Principal, run: AgentRun) -> Conflict:
    try:
        access.get_run(principal, run.id, Permission.RUN_BIND)
    except NotFound:
        return Conflict("run_exists", "This runId cannot be used.", remedy="Choose another.")
    return Conflict("session_mismatch", "The run is of another session.")


def _bind(run: AgentRun, executor_id: str, parts: Parts, in_transaction: Callable[[], None] = lambda: None) -> Reply:
    binding = external_runs.bind(run, executor_id, parts.settings, parts.container.bell, in_transaction)
    bound = binding.run
    return Reply(
        BindingView(
            run_id=bound.id,
            session_id=bound.session_id,
            executor_id=executor_id,
            epoch=binding.epoch,
            token=binding.token,
            status=bound.status,
            trace_id=bound.trace_id,
            silence_seconds=parts.settings.external_silence_seconds,
        )
    )


@routes.post("/api/runs/<run_id>/callbacks", RUN_TOKEN)
def call_back(run_id: str, bound: Bound, parts: Parts, body: CallbackBody) -> CallbackView:
    """Report an event of a bound run. Idempotent by `eventId`; order of arrival is the log's order. The answer says whether the run
    is to be stopped and what people answered."""
    settings, bell = parts.settings, parts.container.bell
    data = data_of(body.type, body.data)
    if body.type == EventType.HUMAN_LOOP_REQUESTED and external_requests.is_taken(run_id, data["requestId"]):
        raise Conflict("request_exists", "The request's id is another run's.")
    callback = Callback(body.event_id, body.type, ids.posix_of(body.ts), data)
    taken = external_runs.take(bound, callback, settings, bell)
    seq = taken.seq
    if seq is None and body.type not in _TEXT:
        seq = wait_for(lambda: external_runs.find_seq(run_id, body.event_id), APPLIED_WITHIN_MS)
    run = AgentRun.get_by_id(run_id)
    answers = external_runs.hand_out(bound, settings, bell, all_of_them=False)
    return CallbackView(
        event_id=body.event_id,
        duplicate=taken.duplicate,
        run_status=run.status,
        stop_requested=run.stop_requested_at is not None,
        answers=answers_of(answers),
        seq=seq,
    )


@routes.get("/api/runs/<run_id>/callbacks", RUN_TOKEN)
def read_bound_run(run_id: str, bound: Bound, parts: Parts) -> BoundRunView:
    """Read what an executor is to know of its run: whether to stop, and all that people answered. Asking is a sign of life."""
    external_runs.require_current(bound)
    external_runs.touch(bound, parts.settings)
    answers = external_runs.hand_out(bound, parts.settings, parts.container.bell, all_of_them=True)
    run = AgentRun.get_by_id(run_id)
    return BoundRunView(
        run_id=run.id,
        session_id=run.session_id,
        epoch=run.bind_epoch,
        run_status=run.status,
        stop_requested=run.stop_requested_at is not None,
        answers=answers_of(answers),
        last_seq=run.last_seq,
    )
