"""Questions and approvals on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from app import db
from app.models import HumanLoopRequest
from web.schemas.common import Id, PageQuery, when
from web.wire import Given, Shown

Text = Annotated[str, Field(max_length=100_000)]


class RequestsQuery(PageQuery):
    session_id: Id | None = None
    run_id: Id | None = None


class ReplyBody(Given):
    """`decision` for an approval, `answers` for questions."""

    request_id: Id
    decision: Literal["allow", "allow_always", "deny"] | None = None
    message: Text | None = None
    answers: dict[Annotated[str, Field(max_length=200)], list[Text]] | None = Field(None, max_length=100)


class ReplyView(Shown):
    """What became of the reply. `duplicate`: somebody answered before; `reply` and `by` are that first answer's."""

    request_id: str
    outcome: str
    duplicate: bool
    delivery: str | None = None
    reply: dict[str, Any] | None = None
    by: str | None = None
    by_name: str | None = None


class RequestView(Shown):
    """A question or an approval. Past its deadline it is `overdue` and still open. `byName` is the name of the user `by`."""

    request_id: str
    run_id: str
    session_id: str
    kind: str
    title: str
    tool_call: dict[str, Any] | None = None
    questions: list[dict[str, Any]] | None = None
    options: list[Any]
    created_at: str
    deadline_at: str | None = None
    overdue: bool
    outcome: str | None = None
    reply: dict[str, Any] | None = None
    by: str | None = None
    by_name: str | None = None
    answered_at: str | None = None
    delivered_at: str | None = None
    delivery: str | None = None


def request_view(row: HumanLoopRequest, names: Mapping[str, str]) -> RequestView:
    """`names` are those of users, by id."""
    is_open = row.status == "open"
    return RequestView(
        request_id=row.id,
        run_id=row.run_id,
        session_id=row.session_id,
        kind=row.kind,
        title=row.title,
        tool_call=row.tool_call,
        questions=row.questions,
        options=row.options or [],
        created_at=when(row.created_at) or "",
        deadline_at=when(row.deadline_at),
        overdue=bool(is_open and row.deadline_at is not None and row.deadline_at < db.now()),
        outcome=None if is_open else row.status,
        reply=row.reply,
        by=row.replied_by,
        by_name=names.get(row.replied_by or ""),
        answered_at=when(row.answered_at),
        delivered_at=when(row.delivered_at),
        delivery=row.delivery,
    )
