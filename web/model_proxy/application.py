"""The proxy's WSGI application: who calls, whether the call may be made, and errors in the form of the agent's protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import gevent
import peewee
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Request as HttpRequest

from app import db
from app.adapters.httpx_model_api import ModelApiError
from app.adapters.redis_try_counter import RedisTryCounter
from app.container import Container
from app.domain.model_api import Asked, Route, Vendor, error_body, find_route, read_request, with_usage_asked
from app.errors import Unauthenticated, Unavailable
from app.log import label, logger, start_context
from app.models import AgentRun
from app.services import budgets, model_tokens
from web.model_proxy.clients import Watch
from web.model_proxy.forwarding import Admitted, Forwarding, Request

TURN_SECONDS = 0.05
_WORTH_ANOTHER_TRY = (429, 500, 502, 503, 504)
WINDOW_SECONDS = 60

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Refused(Exception):
    """The proxy answers itself, in the form of the agent's protocol. `reason` is what is counted."""

    def __init__(self, status: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class ModelProxy:
    """One per process. `leave` lets calls that are on their way end and takes no others."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self._settings = container.settings
        self._tries = RedisTryCounter(container.redis)
        self._is_leaving = False

    def leave(self) -> None:
        self._is_leaving = True

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = HttpRequest(environ)
        start_context()
        if request.method in ("GET", "HEAD") and request.path in ("/", "/health"):
            return _answer(start_response, 200, b'{"status":"ok"}', {}, head=request.method == "HEAD")
        vendor = _vendor_of(request)
        try:
            return self._serve(request, start_response)
        except Refused as refused:
            return self._refuse(start_response, vendor, refused)
        except OSError:  # the agent is gone: there is nobody to answer
            raise
        except Exception:  # noqa: BLE001 - the boundary of a request
            logger.exception("model call failed")
            return self._refuse(start_response, vendor, Refused(500, "internal_error", "The model proxy failed."))

    def _refuse(self, start_response: StartResponse, vendor: Vendor, refused: Refused) -> Iterable[bytes]:
        self.container.counters.add("paddock_model_refusals_total", {"reason": refused.reason})
        logger.info("model call refused", reason=refused.reason, status=refused.status)
        body = error_body(vendor, refused.status, refused.reason, refused.message)
        again = {} if refused.status in _WORTH_ANOTHER_TRY else {"x-should-retry": "false"}
        return _answer(start_response, refused.status, body, {**again, **refused.headers})

    def _serve(self, request: HttpRequest, start_response: StartResponse) -> Iterable[bytes]:
        if self._is_leaving:
            raise Refused(503, "stopping", "The model proxy is being restarted.", retry_after="1", connection="close")
        route = find_route(request.method, request.path, anthropic=_vendor_of(request) == "anthropic")
        if route is None:
            raise Refused(404, "not_found", "The model proxy does not serve this address.")
        watch = Watch(request.environ)
        try:
            forwarding = self._prepare(request, route, watch)
        except BaseException:
            watch.stop()
            raise
        return self._send(forwarding, start_response)

    def _send(self, forwarding: Forwarding, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, headers = forwarding.send(self.container.model_api)
        except BaseException as error:
            forwarding.close()
            if isinstance(error, ModelApiError):
                code = 504 if error.timed_out else 502
                raise Refused(code, "model_unreachable", f"The model's address does not answer ({error}).") from error
            raise
        start_response(status, headers)
        return forwarding

    def _prepare(self, request: HttpRequest, route: Route, watch: Watch) -> Forwarding:
        """Check everything, and write the row of a call that costs."""
        try:
            with db.connection():
                run = self._run_of(request)
                label(run_id=run.id, session_id=run.session_id)
                body = self._body(request)
                watch.start()
                if route.protocol is None:
                    return self._forwarding(request, route, body, None, watch)
                asked = _read(route, request, body)
                self._limit_rate(run, asked)
                admitted = self._admit(run, route, asked)
                return self._forwarding(request, route, body, admitted, watch)
        except (Unavailable, peewee.PeeweeException) as error:
            raise Refused(
                503, "database_unavailable", "Paddock's database does not answer.", retry_after="1"
            ) from error

    def _forwarding(
        self, request: HttpRequest, route: Route, body: bytes, admitted: Admitted | None, watch: Watch
    ) -> Forwarding:
        asks = with_usage_asked(body) if route.protocol == "chat" else None
        query = request.query_string.decode("latin-1")
        passed = Request(
            route=route,
            method=request.method,
            path=f"{route.path}?{query}" if query else route.path,
            headers=list(request.headers),
            body=asks or body,
            hides_usage=asks is not None,
        )
        return Forwarding(passed, admitted, watch, self.container.counters)

    def _run_of(self, request: HttpRequest) -> AgentRun:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        token = request.headers.get("x-api-key", "").strip() or bearer
        try:
            run = model_tokens.run_of(self._settings, token)
        except Unauthenticated as error:
            raise Refused(401, error.code, error.message) from None
        if not self.container.model_api.has_key(_vendor_of(request)):
            raise Refused(403, "auth_missing", "Paddock has no key for this API.")
        return run

    def _body(self, request: HttpRequest) -> bytes:
        request.max_content_length = self._settings.model_max_bytes
        try:
            return request.get_data(cache=False)
        except HTTPException as error:
            status = 413 if error.code == 413 else 400
            raise Refused(status, "body_too_large" if status == 413 else "body_unreadable", str(error)) from None

    def _limit_rate(self, run: AgentRun, asked: Asked) -> None:
        limit = self._settings.model_requests_per_minute
        if not limit:
            return
        name = f"model:{run.tenant_id}:{hashlib.sha256(asked.model.encode()).hexdigest()[:16]}"
        try:
            count, left = self._tries.add(name, WINDOW_SECONDS)
        except Unavailable:
            return  # nobody counts now; runs go on
        if count > limit:
            message = f"More than {limit} calls of this model in a minute."
            raise Refused(429, "rate_limited", message, retry_after=str(max(1, left)))

    def _admit(self, run: AgentRun, route: Route, asked: Asked) -> Admitted:
        """Wait for the call's turn; raises Refused where the run's budget is used up, and has it stopped."""
        assert route.protocol is not None  # noqa: S101 - for the type checker; the caller looked
        price = self.container.prices.find(asked.model)
        call = budgets.Call(run, route.protocol, asked, price, self.container.owner)
        while True:
            verdict = budgets.admit(call)
            if verdict.call_id is not None:
                return Admitted(verdict.call_id, route.protocol, price)
            if verdict.limit is not None:
                budgets.stop(run, verdict.limit)
                self.container.bell.ring_command(run.id)
                raise Refused(402, "budget_exceeded", budgets.WORDS[verdict.limit])
            with db.connection():
                pass  # others need it while this one waits
            gevent.sleep(TURN_SECONDS)


def _read(route: Route, request: HttpRequest, body: bytes) -> Asked:
    assert route.protocol is not None  # noqa: S101 - for the type checker; the caller looked
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(415, "body_unreadable", "Send the body without a content-encoding.")
    try:
        return read_request(route.protocol, body)
    except ValueError as error:
        raise Refused(400, "body_unreadable", f"The body is no request for a model: {error}.") from None


def _vendor_of(request: HttpRequest) -> Vendor:
    ours = request.path.startswith("/v1/messages") or "anthropic-version" in request.headers
    return "anthropic" if ours else "openai"


def _answer(
    start_response: StartResponse, status: int, body: bytes, headers: dict[str, str], *, head: bool = False
) -> Iterable[bytes]:
    told = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers.items()]
    start_response(f"{status} {_REASONS.get(status, 'Error')}", told)
    return [] if head else [body]


_REASONS = {200: "OK", 401: "Unauthorized", 402: "Payment Required", 404: "Not Found", 429: "Too Many Requests"}
