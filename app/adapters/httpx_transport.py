"""One executor over HTTP: connection, token, trace headers, retries, errors. What is asked is in the modules beside this one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from app import ids, log, trace
from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.errors import Conflict, Forbidden, Invalid, LeaseLost, NotFound
from app.log import logger
from app.ports import ExecutorRequestError
from executor import protocol

LONG_SECONDS = 900.0
"""For calls whose work grows with the workspace: scan, restore, seed."""
_SOCKET_PATH_LIMIT = 107
NOBODY = "-"
"""The value of a trace header where there is nothing to name: every call has all of them."""
_HEADERS = {"trace_id": "x-trace-id", "session_id": "x-session-id", "run_id": "x-run-id"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `content` makes the body anew for each try; `once`: it must not be sent twice."""

    method: str
    path: str
    operation: str
    params: Mapping[str, str] = field(default_factory=dict)
    content: Callable[[], bytes | Iterator[bytes]] | None = None
    epoch: int | None = None
    run_id: str | None = None
    timeout: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    once: bool = False


class Transport:
    """Safe for many threads; keeps connections alive."""

    def __init__(self, address: ExecutorAddress, settings: ExecutorClientSettings) -> None:
        self.settings = settings
        self._address = address
        self._folder: int | None = None
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8, keepalive_expiry=60)
        uds = None if address.socket is None else self._reachable(address.socket)
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=uds, verify=uds is None, limits=limits),
            base_url=address.base_url,
            timeout=settings.timeout_ms / 1000,
            headers={"authorization": f"Bearer {address.token}", "accept-encoding": "identity"},
            trust_env=False,
        )

    def close(self) -> None:
        self._client.close()
        if self._folder is not None:
            os.close(self._folder)
            self._folder = None

    @property
    def local(self) -> bool:
        return self._address.socket is not None

    def json(self, call: Call) -> Any:
        """Return the answer's JSON."""
        return orjson.loads(self.bytes(call).content)

    def bytes(self, call: Call) -> httpx.Response:
        """Return the whole answer; tries again as the settings say, then raises ExecutorRequestError (LeaseLost at once)."""
        attempts = 1 if call.once else self.settings.max_retries + 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._send(call)
            except httpx.TransportError as error:
                failure: Exception = _of_transport(error, call.path, attempt, attempts)
            else:
                if response.is_success:
                    return response
                failure = _of_response(response, call.path, attempt, attempts)
                if response.status_code not in self.settings.retry_status_codes:
                    raise failure
            self._note(call, failure)
            if attempt < attempts:
                time.sleep(self.settings.retry_delay_ms * attempt / 1000)
        raise failure

    def _note(self, call: Call, failure: Exception) -> None:
        if isinstance(failure, ExecutorRequestError):
            logger.warning("executor call failed", operation=call.operation, **failure.facts())

    @contextmanager
    def stream(self, call: Call) -> Iterator[httpx.Response]:
        """Open a streamed answer, trying again as `bytes` does until it has begun; what breaks later is the caller's to try again."""
        response = self._open(call)
        try:
            yield response
        except httpx.TransportError as error:
            raise _of_transport(error, call.path, 1, 1) from error
        finally:
            response.close()

    def _open(self, call: Call) -> httpx.Response:
        attempts = 1 if call.once else self.settings.max_retries + 1
        for attempt in range(1, attempts + 1):
            try:
                response = self._send(call, stream=True)
                if response.is_success:
                    return response
                with closing(response):
                    response.read()
            except httpx.TransportError as error:
                failure: Exception = _of_transport(error, call.path, attempt, attempts)
            else:
                failure = _of_response(response, call.path, attempt, attempts)
                if response.status_code not in self.settings.retry_status_codes:
                    raise failure
            self._note(call, failure)
            if attempt < attempts:
                time.sleep(self.settings.retry_delay_ms * attempt / 1000)
        raise failure

    def _send(self, call: Call, *, stream: bool = False) -> httpx.Response:
        """Send it; ExecutorRequestError where the sandbox was stopped by another thread, which closed this client."""
        try:
            return self._client.send(self._request(call), stream=stream)
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            raise ExecutorRequestError(
                "network", call.path, 1, 1, code="closed", message="the sandbox was stopped"
            ) from error

    def _request(self, call: Call) -> httpx.Request:
        labels = dict.fromkeys(protocol.TRACE_HEADERS, NOBODY)
        labels |= {f"x-{name}": value for name, value in self._address.labels.items()}
        labels |= {_HEADERS[name]: value for name, value in log.current_labels().items() if name in _HEADERS}
        labels |= {"x-operation": call.operation, "x-trace-ts": ids.rfc3339(ids.now())}
        if labels["x-trace-id"] == NOBODY:
            labels["x-trace-id"] = trace.new_id()
        labels[trace.HEADER] = trace.parent(labels["x-trace-id"])
        labels[protocol.GENERATION_HEADER] = str(self._address.generation)
        if call.run_id is not None:
            labels["x-run-id"] = call.run_id
        if call.epoch is not None:
            labels[protocol.EPOCH_HEADER] = str(call.epoch)
        timeout = self.settings.timeout_ms / 1000
        return self._client.build_request(
            call.method,
            call.path,
            params=dict(call.params),
            content=None if call.content is None else call.content(),
            headers={**labels, **call.headers},
            timeout=httpx.Timeout(timeout, read=call.timeout or timeout),
        )

    def _reachable(self, socket: Path) -> str:
        """Return a path that fits into a socket's address: a long one is reached through a descriptor of its folder."""
        if len(os.fsencode(socket)) <= _SOCKET_PATH_LIMIT:
            return str(socket)
        self._folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{socket.name}"


def json_body(value: object) -> Callable[[], bytes]:
    data = orjson.dumps(value)
    return lambda: data


def _of_transport(error: httpx.TransportError, path: str, attempt: int, attempts: int) -> ExecutorRequestError:
    kind = "timeout" if isinstance(error, httpx.TimeoutException) else "network"
    facts = {"code": "refused" if isinstance(error, httpx.ConnectError) else "", "message": str(error)}
    return ExecutorRequestError(kind, path, attempt, attempts, **facts)  # type: ignore[arg-type]


def _of_response(response: httpx.Response, path: str, attempt: int, attempts: int) -> Exception:
    try:
        told = orjson.loads(response.content)
        code, message = str(told["error"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", response.text[:200]
    if code == "fenced":
        return LeaseLost(message)
    return ExecutorRequestError(
        "http", path, attempt, attempts, status=response.status_code, code=code, message=message
    )


def as_app_error(error: ExecutorRequestError, what: str) -> Exception:
    """Return what a caller who named a path or a repository is to be told; other failures stay as they are."""
    if error.status == 404:
        return NotFound(what)
    if error.status == 403:
        return Forbidden(error.code, error.message)
    if error.status == 409 and error.code != "wrong_generation":
        return Conflict(error.code, error.message)
    if error.status in (413, 422):
        return Invalid(error.code, error.message)
    return error
