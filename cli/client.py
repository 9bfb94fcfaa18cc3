"""The HTTP API from a client's side: credentials, problems, retries, and following a run's events over lost connections.

What the answers look like on the screen is not known here.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from cli import sse
from cli.errors import CommandFailed, Unreachable

Json = dict[str, Any]

TRIES = 6
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
SILENCE_SECONDS = (
    45.0  # the server sends a heartbeat every 15 s; after three missed ones the connection is taken for dead
)
PATIENCE_SECONDS = 300.0  # how long a followed run may be out of reach
NOT_NOW = (429, 502, 503, 504)
"""Statuses of a server that is restarting or busy: the same request may succeed in a moment."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Client:
    """Calls one server as one principal. Every POST carries an Idempotency-Key, so that sending it again is harmless."""

    def __init__(self, url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        local = urlsplit(self.url).hostname in LOOPBACK
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {token}", "User-Agent": "paddock-cli"},
            timeout=httpx.Timeout(30, read=90),
            trust_env=not local,  # a proxy of the environment is not for this machine
            transport=transport,
        )

    def get(self, path: str, /, **params: Any) -> Json:
        answer: Json = self._send("GET", path, params=_given(params)).json()
        return answer

    def post(self, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Json:
        answer: Json = self._send("POST", path, json=dict(body or {}), headers=dict(headers or {})).json()
        return answer

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        """Return the JSON of a PUT."""
        answer: Json = self._send("PUT", path, json=dict(body)).json()
        return answer

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def get_bytes(self, path: str, /, **params: Any) -> tuple[bytes, Mapping[str, str]]:
        response = self._send("GET", path, params=_given(params))
        return response.content, response.headers

    def upload(self, path: str, file: Path) -> Json:
        """POST a file's bytes; the whole file is sent again where the connection broke."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.stat().st_size)}
        answer: Json = self._send("POST", path, file=file, headers=headers).json()
        return answer

    def pages(self, path: str, limit: int, /, **params: Any) -> Iterator[Json]:
        """Yield the items of a list, page by page, up to `limit`."""
        cursor, left = None, limit
        while left > 0:
            page = self.get(path, limit=min(left, 500), cursor=cursor, **params)
            yield from page["items"][:left]
            left -= len(page["items"])
            cursor = page.get("nextCursor")
            if not cursor or not page["items"]:
                return

    def follow(self, run_id: str, cursor: int = 0) -> Iterator[Json]:
        """Yield the envelopes of a run with seq > `cursor`, each once and in order, until its log is closed.

        A lost connection is taken up again after the last seq seen; Unreachable after PATIENCE_SECONDS without contact.
        """
        last, pause, contact = cursor, FIRST_PAUSE_SECONDS, time.monotonic()
        while True:
            try:
                for event in self._stream(run_id, last):
                    pause, contact = FIRST_PAUSE_SECONDS, time.monotonic()
                    if event.name == "reset":
                        last = 0
                        continue
                    if event.name == "heartbeat" or not event.id:
                        continue
                    envelope: Json = json.loads(event.data)
                    if envelope["seq"] <= last:
                        continue
                    last = envelope["seq"]
                    yield envelope
                    contact = time.monotonic()  # who shows it may have taken long
                    if envelope["type"] == "run.closed":
                        return
            except (httpx.TransportError, Unreachable) as error:
                if time.monotonic() - contact > PATIENCE_SECONDS:
                    raise Unreachable(
                        f"{self.url} does not answer any more ({error}).",
                        remedy=f"The run goes on by itself. Later: paddock tail {run_id} --cursor {last}",
                    ) from error
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def start_and_stream(self, body: Mapping[str, Any]) -> Iterator[sse.ServerEvent]:
        """Start a run and yield what its stream says, heartbeats too, in one request: nothing is tried again, and where the connection
        breaks httpx.TransportError is raised."""
        key = {"Idempotency-Key": str(uuid.uuid4())}
        yield from self._events_of("POST", "/api/runs/start", key, json=dict(body))

    def _stream(self, run_id: str, cursor: int) -> Iterator[sse.ServerEvent]:
        yield from self._events_of("GET", f"/api/runs/{quote(run_id, safe='')}/stream", {}, params={"cursor": cursor})

    def _events_of(
        self, method: str, path: str, headers: Mapping[str, str], **options: Any
    ) -> Iterator[sse.ServerEvent]:
        headers = {"Accept": "text/event-stream", **headers}
        timeout = httpx.Timeout(10, read=SILENCE_SECONDS)
        with self._http.stream(method, path, headers=headers, timeout=timeout, **options) as response:
            if response.status_code >= 400:
                response.read()
                raise problem_of(response)
            yield from sse.parse(response.iter_lines())

    def _send(self, method: str, path: str, *, file: Path | None = None, **options: Any) -> httpx.Response:
        if method == "POST":
            options["headers"] = {"Idempotency-Key": str(uuid.uuid4()), **options.get("headers", {})}
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, TRIES + 1):
            try:
                response = self._send_once(method, path, file, options)
            except httpx.TransportError as error:
                if attempt == TRIES or isinstance(error, httpx.UnsupportedProtocol):
                    raise Unreachable(
                        f"Paddock does not answer at {self.url}.",
                        detail=str(error),
                        remedy="Start it with `make up`, or set PADDOCK_URL to where it runs.",
                    ) from error
            else:
                problem = problem_of(response) if response.status_code >= 400 else None
                if problem is None:
                    return response
                if attempt == TRIES or not _worth_repeating(response):
                    raise problem
            time.sleep(pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def _send_once(self, method: str, path: str, file: Path | None, options: Mapping[str, Any]) -> httpx.Response:
        if file is None:
            return self._http.request(method, path, **options)
        with file.open("rb") as content:
            return self._http.request(method, path, content=content, **options)


def problem_of(response: httpx.Response) -> CommandFailed:
    """Return what an error answer says; Unreachable for what a gateway or a restarting server answers."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    details = [body.get("detail", "")]
    details += [f"{each.get('field', '')}: {each.get('message', '')}" for each in body.get("errors") or []]
    kind = Unreachable if response.status_code in NOT_NOW else CommandFailed
    return kind(
        body.get("title") or f"The server answered {response.status_code}.",
        detail="\n".join(part for part in details if part),
        remedy=body.get("remedy") or "",
        code=body.get("code") or "",
        status=response.status_code,
    )


def _worth_repeating(response: httpx.Response) -> bool:
    if response.status_code in NOT_NOW:
        return True
    if response.status_code != 409:
        return False
    try:
        return bool(response.json().get("retryable"))
    except (ValueError, AttributeError):
        return False


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
