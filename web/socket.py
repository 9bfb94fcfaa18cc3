"""WebSocket: the same envelopes as the SSE stream, one JSON text per event. SPEC §3.

Everything that can be refused is refused before the handshake is answered, with a problem. The client has nothing to say
here: what it sends is read so that its end and its pongs are seen, and otherwise left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from flask import Flask, Response, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed
from wsproto.utilities import RemoteProtocolError

from app.domain.events import Event, envelope
from app.domain.permissions import Permission, Principal
from app.models import AgentRun
from web.channel import Batch, Heartbeat
from web.errors import BadRequest
from web.guard import release_connection
from web.hub import Item, Subscription
from web.parts import Parts
from web.routing import Routes
from web.schemas.runs import StreamQuery
from web.stream import Names, cursor_of, require_log

NORMAL, GOING_AWAY = 1000, 1001
MAX_MESSAGE_BYTES = 1_048_576
PING_SECONDS = 20

routes = Routes("streams")


def configure(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": MAX_MESSAGE_BYTES}


@routes.websocket("/ws/runs/<run_id>", Permission.RUN_READ)
def follow_run(run: AgentRun, principal: Principal, parts: Parts, query: StreamQuery) -> Response:
    """Follow a run's log: envelopes, `{"type": "heartbeat"}`, `{"type": "reset"}`; closes with 1000 after `run.closed`."""
    require_log(run)
    cursor, names = cursor_of(request, query.cursor), Names.of(run)
    parts.streams.require_room(principal)
    release_connection()  # a stream holds no connection to the database
    return handshake(lambda connection: _serve(connection, parts, principal, names, cursor))


def handshake(serve: Callable[[Any], None]) -> Response:
    """Become a WebSocket and serve it; Flask-Sock knows how, and with which servers."""
    taken: list[Callable[[], Response]] = []

    class _Taker:
        """Stands where Flask-Sock registers its view: ours is registered already, with its permission."""

        def route(self, _rule: str, **_options: Any) -> Callable[[Callable[[], Response]], None]:
            return taken.append

    environ = request.environ
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in environ:
            environ[name] = WholeSends(environ[name])
    Sock().route("", bp=_Taker())(serve)
    try:
        return taken[0]()
    except RemoteProtocolError:
        raise BadRequest("websocket_expected", "The WebSocket handshake is not well-formed.") from None


class WholeSends:
    """A socket whose `send` sends everything, one caller at a time: simple-websocket takes one `send` for a whole frame, which
    holds for blocking sockets but not for gevent's, and answers pings from another greenlet meanwhile."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.Lock()

    def send(self, data: bytes) -> int:
        with self._lock:
            self._inner.sendall(data)
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _serve(connection: Any, parts: Parts, principal: Principal, names: Names, cursor: int) -> None:
    subscription = parts.hub.join(names.run_id, cursor)
    entered = parts.streams.enter(principal, subscription)
    try:
        _send_all(connection, subscription, names)
    except (ConnectionClosed, OSError):
        pass  # the client has gone
    finally:
        parts.streams.leave(entered)
        subscription.close()


def _send_all(connection: Any, subscription: Subscription, names: Names) -> None:
    render = partial(_encode, names=names)
    closed = False
    for item in subscription:
        if isinstance(item, Batch):
            for text in item.rendered("ws", render).decode().split("\n"):
                connection.send(text)
            closed = item.closes
        else:
            connection.send(_notice(item))
    connection.close(NORMAL if closed else GOING_AWAY)


def _encode(events: Sequence[Event], names: Names) -> bytes:
    """One line per event; JSON as orjson writes it holds no line break."""
    return b"\n".join(orjson.dumps(envelope(event, names.session_id, names.trace_id)) for event in events)


def _notice(item: Item) -> str:
    if isinstance(item, Heartbeat):
        return orjson.dumps({"type": "heartbeat", "lastSeq": item.last}).decode()
    return orjson.dumps({"type": "reset", "cursor": 0}).decode()
