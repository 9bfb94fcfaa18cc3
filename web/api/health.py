"""Health, readiness and metrics of one web process. Without authentication, so without anything about tenants."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from flask import Response

from app import db
from app.adapters.redis_connection import answering
from app.errors import AppError, Unavailable
from app.ports import Tally
from app.services import runs
from web.parts import Parts, parts
from web.routing import PUBLIC, Routes
from web.wire import json_response

routes = Routes("health")
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@routes.get("/health", PUBLIC)
def health(parts: Parts) -> Response:
    """Tell whether this process makes progress: its hub's threads run, and the database answers in time."""
    checks = {"hub": _tried(lambda: _require(parts.hub.is_alive())), "database": _tried(db.check)}
    return _report(checks)


@routes.get("/ready", PUBLIC)
def ready(parts: Parts) -> Response:
    """Tell whether every part that is needed answers."""
    container = parts.container
    checks = {
        "database": _tried(db.check),
        "redis": _tried(container.redis.ping),
        "objectStore": _tried(lambda: container.store.exists("ready/probe")),
        "hub": _tried(lambda: _require(parts.hub.is_alive())),
    }
    return _report(checks)


@routes.get("/metrics", PUBLIC, produces="text/plain")
def metrics() -> Response:
    """Prometheus text: the queue, runs by status, open streams, requests of this process."""
    return Response("\n".join(_lines(parts())) + "\n", content_type=PROMETHEUS)


def _report(checks: dict[str, dict[str, str]]) -> Response:
    failed = [name for name, check in checks.items() if check["status"] != "ok"]
    body = {"status": "failed" if failed else "ok", "checks": checks}
    return json_response(orjson.dumps(body), 503 if failed else 200)


def _tried(probe: Callable[[], Any]) -> dict[str, str]:
    try:
        with answering():
            probe()
    except AppError as error:
        return {"status": "failed", "error": error.message}
    except OSError as error:
        return {"status": "failed", "error": error.strerror or type(error).__name__}
    return {"status": "ok"}


def _require(alive: bool) -> None:
    if not alive:
        raise Unavailable("hub_stopped", "The hub's thread has stopped.")


def _tallied(tally: Tally) -> Iterable[str]:
    """What all processes count together."""
    family = ""
    for series, value in sorted(tally.read().items()):
        name = series.partition("{")[0]
        if name != family:
            family = name
            yield f"# TYPE {name} counter"
        yield f"{series} {value}"


def _lines(own: Parts) -> Iterable[str]:
    queue = runs.queue_summary()
    yield "# TYPE paddock_queue_depth gauge"
    yield f"paddock_queue_depth {queue['depth']}"
    yield "# TYPE paddock_queue_oldest_age_seconds gauge"
    yield f"paddock_queue_oldest_age_seconds {queue['oldestAgeSeconds']:.3f}"
    yield "# TYPE paddock_runs gauge"
    for status, count in sorted(runs.count_by_status().items()):
        yield f'paddock_runs{{status="{status}"}} {count}'
    yield from _tallied(own.container.tally)
    yield "# TYPE paddock_open_streams gauge"
    yield f'paddock_open_streams{{process="{os.getpid()}"}} {own.streams.count()}'
    yield "# TYPE paddock_http_requests_total counter"
    for (route, status_code), count in sorted(own.requests.items()):
        labels = f'route="{route}",status="{status_code}",process="{os.getpid()}"'
        yield f"paddock_http_requests_total{{{labels}}} {count}"
