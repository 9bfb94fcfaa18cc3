"""Server-sent events: a run's log as a response that goes on until `run.closed`. SPEC §3; the following is the hub's work.

Frames of events are rendered once for all clients of a run. `?format=ui-message` is another projection of the same events;
because its chunks depend on what came before, its reader gets the log from 1 projected, and only what is behind its cursor
sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import orjson
from flask import Request, Response

from app.domain import pages
from app.domain.events import Event, envelope
from app.domain.permissions import Principal
from app.errors import Gone
from app.models import AgentRun
from web.channel import Batch, Heartbeat
from web.guard import release_connection
from web.hub import Item, Subscription
from web.parts import Parts
from web.projections.ui_message import UiMessageStream
from web.schemas.common import HIGHEST_SEQ

RETRY_MS = 1000
EVENT_STREAM = "text/event-stream"
Format = Literal["events", "ui-message"]

HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
_LINE_ENDS = tuple((letter.encode(), f"\\u{ord(letter):04x}".encode()) for letter in "\u0085\u2028\u2029")
UI_HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}


@dataclass(frozen=True, slots=True)
class Names:
    """What an envelope needs beside its event; taken out of the row before the stream begins."""

    run_id: str
    session_id: str
    trace_id: str

    @staticmethod
    def of(run: AgentRun) -> Names:
        return Names(run.id, run.session_id, run.trace_id)


def cursor_of(request: Request, asked: str | None) -> int:
    """Return the last seq that the client has. Last-Event-ID wins over `?cursor`: a browser that reconnects sends the address it
    began with, and the header knows better by then. Raises Invalid `cursor_malformed`."""
    return parse_cursor(request.headers.get("Last-Event-ID") or asked)


def parse_cursor(text: str | None) -> int:
    """Return a cursor of a run's log: a seq, none for the beginning."""
    if text is None or text == "":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= HIGHEST_SEQ):
        raise pages.malformed()
    return int(text)


def open_stream(parts: Parts, principal: Principal, run: AgentRun, cursor: int, form: Format = "events") -> Response:
    """Return the stream of a run from behind `cursor`. Raises LimitExceeded `too_many_streams`."""
    require_log(run)
    parts.streams.require_room(principal)
    names = Names.of(run)
    subscription = parts.hub.join(run.id, 0 if form == "ui-message" else cursor)
    entered = parts.streams.enter(principal, subscription)
    frames = _ui_frames(subscription, cursor) if form == "ui-message" else _frames(subscription, names)
    headers = HEADERS | (UI_HEADERS if form == "ui-message" else {})
    response = Response(frames, headers=headers, content_type=f"{EVENT_STREAM}; charset=utf-8")

    def close() -> None:
        parts.streams.leave(entered)
        subscription.close()

    response.call_on_close(close)  # also where the client went before the first byte
    return response


def require_log(run: AgentRun) -> None:
    """Raise Gone `log_removed` where retention has deleted the run's log."""
    if run.log_removed_at is not None:
        raise Gone(
            "log_removed",
            "The log of this run is older than this installation keeps logs.",
            remedy="Its final text and usage are in GET /api/runs/{id}.",
        )


def encode(events: Sequence[Event], names: Names) -> bytes:
    """Return events as frames, in the wire form of the log."""
    return b"".join(
        b"id: %d\nevent: %s\ndata: %s\n\n"
        % (event.seq, event.type.encode(), one_line(envelope(event, names.session_id, names.trace_id)))
        for event in events
    )


def one_line(value: object) -> bytes:
    """Return JSON that every reader takes for one line: some split at Unicode's line ends, which the standard does not."""
    text = orjson.dumps(value)
    for raw, escaped in _LINE_ENDS:
        if raw in text:
            text = text.replace(raw, escaped)
    return text


def _frames(subscription: Subscription, names: Names) -> Iterator[bytes]:
    release_connection()  # a stream holds no connection to the database
    yield b"retry: %d\n\n" % RETRY_MS
    render = partial(encode, names=names)
    for item in subscription:
        yield item.rendered("sse", render) if isinstance(item, Batch) else _notice(item)


def _notice(item: Item) -> bytes:
    if isinstance(item, Heartbeat):
        return b"event: heartbeat\ndata: %s\n\n" % orjson.dumps({"type": "heartbeat", "lastSeq": item.last})
    return b"event: reset\ndata: %s\n\n" % orjson.dumps({"type": "reset", "cursor": 0})


def _ui_frames(subscription: Subscription, cursor: int) -> Iterator[bytes]:
    """Heartbeats are comments here: readers of this protocol take every `data:` for a chunk."""
    release_connection()
    projection, closed = UiMessageStream(), False
    for item in subscription:
        if not isinstance(item, Batch):
            yield b": heartbeat\n\n"
            continue
        frames = [_ui_frame(projection, event, event.seq > cursor) for event in item.events]
        closed = item.closes
        yield b"".join(frames)
    if closed:
        yield b"data: [DONE]\n\n"


def _ui_frame(projection: UiMessageStream, event: Event, is_new: bool) -> bytes:
    chunks = projection.project(event)
    if not is_new or not chunks:
        return b""
    lines = [b"data: " + one_line(chunk) for chunk in chunks]
    lines[-1] = b"id: %d\n" % event.seq + lines[-1]
    return b"\n\n".join(lines) + b"\n\n"
