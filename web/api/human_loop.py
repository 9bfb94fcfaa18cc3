"""What agents ask of people: questions and approvals, and the one answer each gets."""

from __future__ import annotations

from app.domain.permissions import Permission, Principal
from app.services import human_loop, identity, run_lists
from app.services.run_lists import RequestFilter
from web import access
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import PageOf
from web.schemas.human_loop import ReplyBody, ReplyView, RequestsQuery, RequestView, request_view

routes = Routes("human loop")


@routes.get("/api/human-loop/pending", Permission.HUMAN_LOOP_READ, etag=True)
def list_pending(principal: Principal, query: RequestsQuery) -> PageOf[RequestView]:
    """List what waits for an answer, the oldest first."""
    return _list(principal, query, is_open=True)


@routes.get("/api/human-loop/resolved", Permission.HUMAN_LOOP_READ)
def list_resolved(principal: Principal, query: RequestsQuery) -> PageOf[RequestView]:
    """List what was answered or closed, the newest first."""
    return _list(principal, query, is_open=False)


@routes.post("/api/human-loop/reply", Permission.HUMAN_LOOP_REPLY)
def reply(principal: Principal, parts: Parts, body: ReplyBody) -> ReplyView:
    """Answer a question or an approval. The first answer holds; a later one gets it back with `duplicate: true`."""
    request = access.get_request(principal, body.request_id, Permission.HUMAN_LOOP_REPLY)
    given = human_loop.Reply(decision=body.decision, message=body.message, answers=body.answers)
    result = human_loop.reply(request, given, principal.user_id, parts.container.bell)
    fields = {
        "request_id": result.request_id,
        "outcome": result.outcome,
        "duplicate": result.duplicate,
        "delivery": result.delivery,
        "reply": dict(result.reply),
        "by": result.by,
        "by_name": identity.names_of([result.by]).get(result.by) if result.by else None,
    }
    return ReplyView.model_validate(fields)


def _list(principal: Principal, query: RequestsQuery, *, is_open: bool) -> PageOf[RequestView]:
    wanted = RequestFilter(is_open, query.session_id, query.run_id, query.mine)
    page = run_lists.list_requests(principal, wanted, cursor=query.cursor, limit=query.limit)
    names = identity.names_of([row.replied_by for row in page.items if row.replied_by])
    titles = run_lists.titles_of(list({row.session_id for row in page.items}))
    items = [request_view(row, names, titles.get(row.session_id, "")) for row in page.items]
    return PageOf[RequestView](items=items, next_cursor=page.next_cursor)
