"""The messages of a chat as pages, the newest first: which turns, and which part of each one's log. What they look like is a projection
of web's (`web.projections.messages`).

A turn is a run: what somebody sent and what came of it. A page ends at so many turns, events or bytes, whichever comes first, in the
middle of a turn if need be; pages laid end to end are the whole chat. All that a page reads is bounded, however long logs are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from app.domain import pages
from app.domain.events import Event, EventType
from app.domain.run_state import RunStatus
from app.models import AgentRun, ChatSession
from app.services import log_rows

SHOWN = (
    EventType.MESSAGE_STOP,
    EventType.THINKING_STOP,
    EventType.TOOL_CALL,
    EventType.TOOL_RESULT,
    EventType.HUMAN_LOOP_REQUESTED,
    EventType.HUMAN_LOOP_RESOLVED,
    EventType.RUN_WARNING,
    EventType.CONTEXT_RESTORED,
    EventType.WORKSPACE_SYNC_FAILED,
)
"""What messages are made from: whole texts and deeds, not their deltas, and what somebody has to know of them."""
MOST_EVENTS = 400
MOST_BYTES = 512 * 1024
ROWS_AT_ONCE = 50
WALK_AT_ONCE = 500
LONGEST_WALK = 5000
"""So many events from a log's end back it is looked for what is still being said."""

_ENDS = {
    EventType.MESSAGE_DELTA: ("message", "messageId"),
    EventType.MESSAGE_STOP: ("message", "messageId"),
    EventType.THINKING_DELTA: ("thinking", "messageId"),
    EventType.THINKING_STOP: ("thinking", "messageId"),
    EventType.TOOL_OUTPUT: ("tool", "toolCallId"),
    EventType.TOOL_RESULT: ("tool", "toolCallId"),
}
_STOPS = frozenset({EventType.MESSAGE_STOP, EventType.THINKING_STOP, EventType.TOOL_RESULT})


@dataclass(frozen=True, slots=True)
class Turn:
    """A run, or the part of one that is on a page: the log from `first_seq` to `last_seq`. `begins`: what was sent is on the page too;
    `ends`: nothing of the log follows on another page. `results` are those that lie behind the part, of calls in it, by call."""

    run: AgentRun
    events: Sequence[Event]
    first_seq: int
    last_seq: int
    begins: bool
    ends: bool
    results: Mapping[str, Event] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChatPage:
    """Turns, the oldest first. `previous_cursor` is that of the page before, None at the beginning of the chat."""

    turns: list[Turn]
    previous_cursor: str | None


def read(session: ChatSession, *, before: str | None, limit: int) -> ChatPage:
    """Return the page before a cursor, the newest without one; `limit` turns at most. Raises Invalid `cursor_malformed`."""
    if limit == 0:
        return ChatPage([], None)
    place, seq = pages.decode(before, int, int) if before is not None else (None, 0)
    room = _Room()
    turns: list[Turn] = []
    for run in _runs(session, place, seq, limit + 1):
        end = seq if seq and run.session_seq == place else None
        if len(turns) == limit or room.is_used_up:
            return ChatPage(turns[::-1], pages.encode(turns[-1].run.session_seq, 0))
        turn = _turn(run, end, room)
        turns.append(turn)
        if not turn.begins:
            return ChatPage(turns[::-1], pages.encode(run.session_seq, turn.first_seq))
    return ChatPage(turns[::-1], None)


class _Room:
    """What is left of a page. There is always room for one more event on an empty one, however large."""

    def __init__(self) -> None:
        self.events, self._bytes = MOST_EVENTS, MOST_BYTES

    @property
    def is_used_up(self) -> bool:
        return self.events <= 0 or self._bytes <= 0

    def take(self, size: int, events: int = 1) -> None:
        self._bytes -= size
        self.events -= events


def _runs(session: ChatSession, place: int | None, seq: int, limit: int) -> Sequence[AgentRun]:
    query = AgentRun.select().where(AgentRun.session_id == session.id)
    if place is not None:
        query = query.where(AgentRun.session_seq <= place if seq else AgentRun.session_seq < place)
    return list(query.order_by(AgentRun.session_seq.desc()).limit(limit))


def _turn(run: AgentRun, end: int | None, room: _Room) -> Turn:
    if run.log_removed_at is not None:
        room.take(len(run.prompt) + len(run.message or ""), 1)
        return Turn(run, (), 1, run.last_seq, begins=True, ends=True)
    last = end - 1 if end is not None else _settled_seq(run)
    events, whole = _events(run.id, last, room)
    if whole:
        room.take(len(run.prompt), 0)
    first = 1 if whole else events[0].seq
    results = _results_behind(run.id, events, last) if end is not None else {}
    return Turn(run, events, first, last, begins=whole, ends=end is None, results=results)


def _events(run_id: str, last: int, room: _Room) -> tuple[list[Event], bool]:
    """Return shown events up to `last`, as many of the newest as there is room for, in order; and whether these are all."""
    seqs = log_rows.seqs_of(run_id, SHOWN, (0, last + 1), limit=max(1, room.events) + 1, newest=True)
    found: list[Event] = []
    for start in range(0, len(seqs), ROWS_AT_ONCE):
        for event in reversed(log_rows.read_seqs(run_id, seqs[start : start + ROWS_AT_ONCE])):
            if found and room.is_used_up:
                return found[::-1], False
            found.append(event)
            room.take(len(orjson.dumps(event.data)))
    return found[::-1], True


def _results_behind(run_id: str, events: Sequence[Event], last: int) -> dict[str, Event]:
    """Return the results that came after `last` of calls that were made before, by call."""
    ended = {_call(event) for event in events if event.type == EventType.TOOL_RESULT}
    waiting = {_call(event) for event in events if event.type == EventType.TOOL_CALL} - ended
    found: dict[str, Event] = {}
    for event in log_rows.results_of(run_id, sorted(waiting), after=last) if waiting else ():
        found.setdefault(_call(event), event)
    return found


def _call(event: Event) -> str:
    return str(event.data.get("toolCallId"))


def _settled_seq(run: AgentRun) -> int:
    """Return the last seq before which nothing is half said: who follows the log from there misses nothing of a text, or of a tool's
    output, that is still growing."""
    if run.finished_at is not None or run.status == RunStatus.QUEUED:
        return int(run.last_seq)
    closed: set[tuple[str, str]] = set()
    open_from: dict[tuple[str, str], int] = {}
    position = int(run.last_seq)
    for _ in range(LONGEST_WALK // WALK_AT_ONCE):
        events = log_rows.read_back(run.id, position + 1, WALK_AT_ONCE)
        before = dict(open_from)
        for event in events:
            if event.attempt < run.attempt:
                events = []  # what an earlier attempt left open stays so
                break
            named = _ENDS.get(EventType(event.type)) if event.type in _ENDS else None
            if named is None:
                continue
            key = (named[0], str(event.data.get(named[1])))
            if event.type in _STOPS:
                closed.add(key)
            elif key not in closed:
                open_from[key] = event.seq
        if not events or open_from == before:
            break  # nothing that is open goes on before this
        position = events[-1].seq - 1
    return min(open_from.values(), default=int(run.last_seq) + 1) - 1
