"""A chat with a long past, written as rows: what agents said and did in hundreds of turns, without running any."""

from __future__ import annotations

from typing import Any

from app import db, ids
from app.domain.events import Event
from app.models import AgentRun, ChatSession
from app.services import log_rows

TURNS = 200
CALLS = 11
LINES_OF_OUTPUT = 40
A_DAY = 86_400.0

Told = tuple[str, dict[str, Any]]


def fill(chat: str, turns: int = TURNS) -> int:
    """Give an empty chat this many ended turns and return how many events these are: 10,000 for 200."""
    session = ChatSession.get_by_id(chat)
    of = {"tenant_id": session.tenant_id, "user_id": session.user_id, "session_id": chat, "provider": "scripted"}
    at = session.created_at - A_DAY
    count = 0
    with db.transaction():
        for turn in range(turns):
            run, told = ids.new_id("run"), _log_of(turn)
            ended = {"status": "succeeded", "created_at": at, "started_at": at, "finished_at": at + len(told)}
            place = {"session_seq": turn + 1, "last_seq": len(told), "attempt": 1, "trace_id": "t"}
            AgentRun.insert(id=run, **of, **ended, **place, prompt=question(turn)).execute()
            events = [Event(run, seq, kind, data, at + seq, f"1:{seq}") for seq, (kind, data) in enumerate(told, 1)]
            log_rows.insert(session.tenant_id, events)
            count += len(told)
        ChatSession.update(last_seq=turns).where(ChatSession.id == chat).execute()
    return count


def question(turn: int) -> str:
    return f"question {turn}"


def answer(turn: int) -> str:
    """What is bold in the answer of a turn."""
    return f"Answer {turn}"


def rows(turns: int = TURNS) -> list[str]:
    """How a conversation's rows begin that show who said or did what, in order."""
    calls = [[f"ls {turn}/{number}" for number in range(CALLS)] for turn in range(turns)]
    return [row for turn in range(turns) for row in (question(turn), *calls[turn], answer(turn))]


def _log_of(turn: int) -> list[Told]:
    said = f"**{answer(turn)}** is a text of some length.\n\n- one\n- two\n\n```python\nprint({turn})\n```"
    told: list[Told] = [
        ("run.started", {"attempt": 1, "provider": "scripted", "model": "scripted", "capabilities": {}}),
        ("thinking.delta", {"messageId": "t", "text": "hm"}),
        ("thinking.stop", {"messageId": "t", "text": f"thought of {turn}"}),
    ]
    for number in range(CALLS):
        call = {"toolCallId": f"c{number}", "name": "Bash", "kind": "execute", "title": f"ls {turn}/{number}"}
        told += [
            ("tool.call", {**call, "input": {"command": f"ls {turn}/{number}"}}),
            ("tool.output", {"toolCallId": f"c{number}", "text": "line\n"}),
            ("tool.output", {"toolCallId": f"c{number}", "text": "line\n"}),
            ("tool.result", {"toolCallId": f"c{number}", "status": "ok", "output": "line\n" * LINES_OF_OUTPUT}),
        ]
    return [*told, ("message.stop", {"messageId": "m", "text": said}), *_end()]


def _end() -> list[Told]:
    return [("run.finished", {"status": "succeeded", "usage": {}}), ("run.closed", {})]
