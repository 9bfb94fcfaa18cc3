"""Questions and approvals on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from app import db
from app.models import HumanLoopRequest
from web.schemas.common import Id, PageQuery, ShownAs, ToolKind, when
from web.wire import Given, Shown

Outcome = Literal["answered", "expired", "superseded", "canceled"]
Text = Annotated[str, Field(max_length=100_000)]


class RequestsQuery(PageQuery):
    """`mine`: of one's own sessions alone, whatever else one may see."""

    session_id: Id | None = None
    run_id: Id | None = None
    mine: bool = False


class ReplyBody(Given):
    """`decision` for an approval, `answers` for questions."""

    request_id: Id
    decision: Literal["allow", "allow_always", "deny"] | None = None
    message: Text | None = None
    answers: dict[Annotated[str, Field(max_length=200)], list[Text]] | None = Field(None, max_length=100)


class RequestReply(Shown):
    """What was answered: a decision, or texts by question."""

    decision: Literal["allow", "allow_always", "deny"] | None = None
    answers: dict[str, list[str]] | None = None
    message: str | None = None
    expired: bool | None = None


class ReplyView(Shown):
    """What became of the reply. `duplicate`: somebody answered before; `reply` and `by` are that first answer's."""

    request_id: str
    outcome: Outcome
    duplicate: bool
    delivery: Literal["live", "resumed"] | None = None
    reply: Annotated[dict[str, Any], ShownAs(RequestReply)] | None = None
    by: str | None = None
    by_name: str | None = None


class Choice(Shown):
    """One of the answers that a question offers."""

    label: str
    description: str | None = None


class Question(Shown):
    """`multiple`: it takes several answers. Answers are texts: those of `options`, or what a person types."""

    id: str
    question: str
    header: str | None = None
    options: list[Choice] | None = None
    multiple: bool | None = None


class AskedCall(Shown):
    """The call that an approval is about. `name` is the agent's own name of the tool."""

    name: str
    kind: ToolKind | None = None
    input: dict[str, Any] | None = None


class RequestView(Shown):
    """A question or an approval. Past its deadline it is `overdue` and still open; `timeoutMs` is how long it had. `toolCallId` is that of
    the call in the run's log, `rule` why it is asked. `byName` is the name of the user `by`."""

    request_id: str
    run_id: str
    session_id: str
    session_title: str
    kind: Literal["question", "approval"]
    title: str
    tool_call: Annotated[dict[str, Any], ShownAs(AskedCall)] | None = None
    tool_call_id: str | None = None
    rule: str | None = None
    questions: list[Annotated[dict[str, Any], ShownAs(Question)]] | None = None
    options: list[str]
    created_at: str
    deadline_at: str | None = None
    timeout_ms: int | None = None
    overdue: bool
    outcome: Outcome | None = None
    reply: Annotated[dict[str, Any], ShownAs(RequestReply)] | None = None
    by: str | None = None
    by_name: str | None = None
    answered_at: str | None = None
    delivered_at: str | None = None
    delivery: Literal["live", "resumed"] | None = None


def request_view(row: HumanLoopRequest, names: Mapping[str, str], title: str) -> RequestView:
    """`names` are those of users, by id; `title` is the session's."""
    is_open = row.status == "open"
    fields = {
        "request_id": row.id,
        "run_id": row.run_id,
        "session_id": row.session_id,
        "session_title": title,
        "kind": row.kind,
        "title": row.title,
        "tool_call": row.tool_call,
        "tool_call_id": row.tool_call_id,
        "rule": row.rule,
        "questions": row.questions,
        "options": [str(option) for option in row.options or []],
        "created_at": when(row.created_at),
        "deadline_at": when(row.deadline_at),
        "timeout_ms": None if row.deadline_at is None else round((row.deadline_at - row.created_at) * 1000),
        "overdue": bool(is_open and row.deadline_at is not None and row.deadline_at < db.now()),
        "outcome": None if is_open else row.status,
        "reply": row.reply,
        "by": row.replied_by,
        "by_name": names.get(row.replied_by or ""),
        "answered_at": when(row.answered_at),
        "delivered_at": when(row.delivered_at),
        "delivery": row.delivery,
    }
    return RequestView.model_validate(fields)
