"""Creating a run: one SQL transaction, then the bell. ARCHITECTURE decisions 1 and 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import peewee

from app import db, ids
from app.domain.events import EventType, source
from app.domain.run_state import RunStatus
from app.errors import Conflict, NotFound
from app.models import AgentRun, ChatSession, RunCommand, RunEvent
from app.ports import Bell
from app.services import runs

OnBusy = Literal["enqueue", "reject", "interrupt"]
TITLE_LENGTH = 80
DEFAULT_TITLES = ("] New session", "] 新会话")
"""How titles end that a page gave before there was anything to name a session by: `[AppName] New session`."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to be made with its first run. `repo_url` or `bundle_id` seeds its workspace; both were checked."""

    title: str = ""
    repo_url: str | None = None
    repo_ref: str | None = None
    bundle_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run as asked for. `session` is the id of an existing session (already loaded for this principal) or a new one."""

    tenant_id: str
    user_id: str
    session: str | NewSession
    provider: str
    prompt: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    on_busy: OnBusy = "enqueue"
    priority: int = 0
    run_id: str | None = None
    trace_id: str = ""
    in_transaction: Callable[[str], None] | None = None


def create(new: NewRun, bell: Bell) -> AgentRun:
    """Write the run with its first event and ring. Raises Conflict `session_busy` for `reject` on a session at work, and
    Conflict `run_exists` where `run_id` is taken."""
    try:
        run, interrupted = _write(new)
    except peewee.IntegrityError:
        if new.run_id is None or not _is_taken(new.run_id):
            raise
        raise _run_exists() from None  # another request made a run of this id at the same moment
    bell.ring_runs()
    for older in interrupted:
        bell.ring_command(older)
    return run


def _write(new: NewRun) -> tuple[AgentRun, list[str]]:
    """Write run, place and first event in one transaction; return the run and the runs that it interrupts."""
    interrupted: list[str] = []
    with db.transaction():
        now = db.now()
        session_id, session_seq = _take_place(new, now)
        if new.on_busy != "enqueue":
            interrupted = _open_runs(session_id)
            if interrupted and new.on_busy == "reject":
                raise Conflict(
                    "session_busy",
                    "The session is at work on another message.",
                    remedy="Wait for it, stop it, or send with onBusy: enqueue or interrupt.",
                )
            for older in interrupted:
                add_command(new.tenant_id, older, "stop", "stop", {"by": new.user_id, "reason": "interrupted"})
        run = _insert(new, session_id, session_seq, now)
        if new.in_transaction is not None:
            new.in_transaction(run.id)
    return run, interrupted


def add_command(tenant_id: str, run_id: str, kind: str, key: str, payload: Mapping[str, Any]) -> bool:
    """Write a wish about a run (inside the caller's transaction); False where this key was wished before."""
    inserted = _insert_command(tenant_id=tenant_id, run_id=run_id, kind=kind, command_key=key, payload=dict(payload))
    if kind == "stop":
        runs.mark_stop_requested(run_id)
    return inserted


def add_arrival(run: AgentRun, key: str, payload: Mapping[str, Any], arrival: int) -> bool:
    """Write what an external executor reports of a run, as `add_command`; it is applied in the order of `arrival`."""
    fields = {"tenant_id": run.tenant_id, "run_id": run.id, "kind": "external", "command_key": key}
    return _insert_command(**fields, payload=dict(payload), arrival=arrival)


def _insert_command(**fields: Any) -> bool:
    insert = RunCommand.insert(id=ids.new_id("cmd"), created_at=db.clock(), **fields).on_conflict_ignore()
    return bool(insert.as_rowcount().execute())


def _take_place(new: NewRun, now: float) -> tuple[str, int]:
    """Lock (or make) the session and return its id and the next session_seq. One without a title of its own gets the prompt's first
    line."""
    title = new.prompt.strip().partition("\n")[0][:TITLE_LENGTH]
    if isinstance(new.session, NewSession):
        session_id = new.session.session_id or ids.new_id("ses")
        ChatSession.insert(
            id=session_id,
            tenant_id=new.tenant_id,
            user_id=new.user_id,
            title=new.session.title or title,
            provider=new.provider,
            model=new.model,
            repo_url=new.session.repo_url,
            repo_ref=new.session.repo_ref,
            bundle_id=new.session.bundle_id,
            last_seq=1,
            created_at=now,
            updated_at=now,
        ).execute()
        return session_id, 1
    is_unnamed = (ChatSession.title == "") | ((ChatSession.last_seq == 0) & _has_default_title())
    first_line = peewee.Case(None, [(is_unnamed, title)], ChatSession.title)
    rows = list(
        ChatSession.update(last_seq=ChatSession.last_seq + 1, updated_at=now, title=first_line)
        .where(ChatSession.id == new.session, ChatSession.tenant_id == new.tenant_id, ChatSession.deleted_at.is_null())
        .returning(ChatSession.last_seq)
        .tuples()
        .execute()
    )
    if not rows:
        raise NotFound("session")  # deleted since it was loaded
    return new.session, rows[0][0]


def _has_default_title() -> peewee.Expression:
    ends = [ChatSession.title.endswith(each) for each in DEFAULT_TITLES]
    return ChatSession.title.startswith("[") & (ends[0] | ends[1])


def _open_runs(session_id: str) -> list[str]:
    query = AgentRun.select(AgentRun.id).where(AgentRun.session_id == session_id, AgentRun.finished_at.is_null())
    return [run.id for run in query.order_by(AgentRun.session_seq)]


def _insert(new: NewRun, session_id: str, session_seq: int, now: float) -> AgentRun:
    run_id = new.run_id or ids.new_id("run")
    if new.run_id and _is_taken(run_id):
        raise _run_exists()
    run = AgentRun.create(
        id=run_id,
        tenant_id=new.tenant_id,
        session_id=session_id,
        user_id=new.user_id,
        session_seq=session_seq,
        status=RunStatus.QUEUED,
        provider=new.provider,
        model=new.model,
        prompt=new.prompt,
        options=dict(new.options),
        required=list(new.required),
        priority=new.priority,
        last_seq=1,
        trace_id=new.trace_id or ids.new_id("trc"),
        created_at=now,
    )
    RunEvent.insert(
        run_id=run_id,
        seq=1,
        tenant_id=new.tenant_id,
        type=EventType.RUN_STATUS,
        ts=round(now, 3),
        src=source(0),
        data={"status": RunStatus.QUEUED},
    ).execute()
    return run


def _is_taken(run_id: str) -> bool:
    return bool(AgentRun.select().where(AgentRun.id == run_id).exists())


def _run_exists() -> Conflict:
    return Conflict("run_exists", "This runId cannot be used.", remedy="Leave runId out or choose another.")
