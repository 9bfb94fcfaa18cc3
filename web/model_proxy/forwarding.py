"""One call on its way: to the model's side and back, byte by byte, counted as it passes.

What an answer tells of its usage is in SQL before the agent can have read it, so that whoever ends the run finds it there.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import peewee
from gevent.lock import Semaphore

from app import db
from app.adapters.httpx_model_api import Answer, ModelApi, ModelApiError
from app.domain.estimates import Said, complete
from app.domain.metering import Meter, WithoutUsage
from app.domain.model_api import Protocol, Route, Told
from app.domain.prices import Price
from app.errors import Unavailable
from app.log import logger
from app.services import metering
from app.services.counting import Counters
from web.model_proxy import headers
from web.model_proxy.clients import Watch

SETTLE_TRIES, SETTLE_SECONDS = 600, 1.0
"""How often a call's row is tried to be written while the database does not answer."""


class Cut(OSError):
    """The answer broke off in the middle: so does the agent's connection, as if there were no proxy."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the model's side broke off")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be passed on. `path` carries the query."""

    route: Route
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    hides_usage: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """The row of a call that was let through."""

    call_id: str
    protocol: Protocol
    price: Price | None


class Forwarding:
    """One request, from its sending to its last byte. Iterate it for the body; `close` settles it, however it ended."""

    def __init__(self, request: Request, admitted: Admitted | None, watch: Watch, counters: Counters) -> None:
        self._request, self._watch, self._counters = request, watch, counters
        self._account = None if admitted is None else Account(admitted, request.body, counters)
        self._answer: Answer | None = None
        self._is_whole = False
        self._is_unanswered = False
        self._is_closed = False

    def send(self, api: ModelApi) -> tuple[str, list[tuple[str, str]]]:
        """Send it and return status line and headers of the answer. Raises ModelApiError; the caller closes then."""
        request, began = self._request, time.monotonic()
        try:
            self._answer = answer = api.send(
                request.route.vendor, request.method, request.path, headers.to_send(request.headers), request.body
            )
        except ModelApiError:
            self._is_unanswered = not self._watch.is_gone
            raise
        if self._account is not None:
            self._account.answered(answer, time.monotonic() - began)
        kept = headers.to_return(answer.headers, length=not request.hides_usage)
        return f"{answer.status} {answer.reason}", kept

    def __iter__(self) -> Iterator[bytes]:
        assert self._answer is not None  # noqa: S101 - for the type checker; `send` came first
        try:
            yield from self._body(self._answer)
        except ModelApiError as error:
            logger.info("answer of a model broke off", error=str(error))
            raise Cut from error
        self._is_whole = True

    def _body(self, answer: Answer) -> Iterator[bytes]:
        if self._account is None or answer.status >= 400:
            yield from answer.chunks
        elif self._account.is_stream:
            yield from self._stream(answer, self._account)
        else:
            data = b"".join(answer.chunks)
            self._account.take(data)
            self._account.finish()
            yield data

    def _stream(self, answer: Answer, account: Account) -> Iterator[bytes]:
        without = WithoutUsage() if self._request.hides_usage else None
        for chunk in answer.chunks:
            account.take(chunk)
            passed = chunk if without is None else without.feed(chunk)
            if passed:
                yield passed
        account.finish()
        if without is not None and (rest := without.end()):
            yield rest

    def close(self) -> None:
        """End both sides, and the account; safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        self._watch.stop()
        if self._answer is not None:
            self._answer.close()
        if self._account is not None:
            self._account.close(whole=self._is_whole, unanswered=self._is_unanswered)


class Account:
    """What one call has used, kept in SQL as it becomes known. `body` is the request's."""

    def __init__(self, admitted: Admitted, body: bytes, counters: Counters) -> None:
        self._admitted, self._body, self._counters = admitted, body, counters
        self._status: int | None = None
        self._meter: Meter | None = None
        self._lock = Semaphore()
        self._is_over = False
        self.is_stream = False

    def answered(self, answer: Answer, seconds: float) -> None:
        self._status = answer.status
        self.is_stream = answer.header("content-type").partition(";")[0].strip() == "text/event-stream"
        encoding = answer.header("content-encoding").lower()
        self._meter = Meter(self._admitted.protocol, stream=self.is_stream, encoding=encoding)
        if not self._meter.is_readable:
            logger.warning("answer of a model cannot be counted", encoding=encoding)
        self._counters.observe("paddock_model_first_byte_seconds", {"protocol": self._admitted.protocol}, seconds)

    def take(self, data: bytes) -> None:
        """Count what is about to be passed on: the end of the count is written first, its beginning beside it."""
        assert self._meter is not None  # noqa: S101 - for the type checker; there is an answer
        if self._meter.feed(data):
            if self._meter.is_final:
                self._write()
            else:
                gevent.spawn(self._write)

    def finish(self) -> None:
        """The answer has come to its end."""
        assert self._meter is not None  # noqa: S101 - as above
        if self._meter.end():
            self._write()

    def close(self, *, whole: bool, unanswered: bool) -> None:
        """The call is over. Whether a stream came to its end is for the protocol to say, not for the connection; `whole` says the
        rest. `unanswered`: the model's side did not take it, or never answered."""
        self._is_over = True  # what is still to be written of its beginning is too late
        meter = self._meter
        ended = whole if meter is None or not self.is_stream else meter.is_whole or (whole and meter.is_final)
        labels = {"protocol": self._admitted.protocol}
        self._counters.add("paddock_model_calls_total", {**labels, "status": self._status or "none"})
        used = None if unanswered else self._used()
        for name, count in (used or {}).items():
            self._counters.add("paddock_model_tokens_total", {**labels, "class": name}, count)
        state = "ended" if ended else "cut"

        def settle() -> None:
            if used is not None:
                metering.record(self._admitted.call_id, used, self._admitted.price)
            metering.end(self._admitted.call_id, state, self._status)  # type: ignore[arg-type]

        if not self._tried(settle):
            gevent.spawn(self._keep_trying, settle)

    def _used(self) -> Told | None:
        """Return what was told, with an estimate of what was not; an agent that leaves before the answer begins has asked all the
        same, and an answer that is an error costs nothing."""
        if self._meter is None or self._status is None:
            return complete(None, self._body, Said())
        return self._meter.told if self._status >= 400 else self._meter.used(self._body)

    def _write(self) -> None:
        def write() -> None:
            if self._meter is not None and self._meter.told is not None and not self._is_over:
                metering.record(self._admitted.call_id, self._meter.told, self._admitted.price)

        self._tried(write)

    def _tried(self, work: Callable[[], Any]) -> bool:
        """Do it, one at a time; False where the database does not answer: the end of the call tries again."""
        with self._lock:
            try:
                with db.connection():
                    work()
            except (Unavailable, peewee.PeeweeException) as error:
                logger.warning("usage of a model call not written", call=self._admitted.call_id, error=str(error))
                return False
        return True

    def _keep_trying(self, work: Callable[[], Any]) -> None:
        for _ in range(SETTLE_TRIES):
            gevent.sleep(SETTLE_SECONDS)
            if self._tried(work):
                return
        logger.error("usage of a model call lost", call=self._admitted.call_id)
