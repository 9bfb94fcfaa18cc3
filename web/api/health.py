"""Health and readiness. Without authentication, so without anything about tenants. Metrics are next door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from flask import Response

from app import db
from app.adapters.redis_connection import answering
from app.errors import AppError, Unavailable
from app.services import process_health
from app.services.process_health import ProcessState
from app.services.watermarks import Watermarks
from web.parts import Parts
from web.routing import PUBLIC, Routes
from web.wire import json_response

routes = Routes("health")
Check = Mapping[str, Any]


@routes.get("/health", PUBLIC)
def health(parts: Parts) -> Response:
    """Tell whether the installation gets on: this process, its database, and every process that has reported. 503 names the one that
    does not, and since when (`seconds`)."""
    return _report(
        {
            "hub": _tried(lambda: _require_hub(parts)),
            "database": _tried(db.check),
            "processes": _processes(parts),
        }
    )


@routes.get("/ready", PUBLIC)
def ready(parts: Parts) -> Response:
    """Tell whether every part that is needed answers, and whether there is room for new work: `ok`, `degraded` (runs and reading go
    on; something is not saved, or nothing new is taken) or `failed`."""
    container = parts.container
    probes: dict[str, Callable[[], Any]] = {
        "database": db.check,
        "redis": container.redis.ping,
        "objectStore": lambda: container.store.exists("ready/probe"),
        "hub": lambda: _require_hub(parts),
    }
    if parts.settings.executor_base_url:
        probes["executorHost"] = container.check_executor_host
    if parts.settings.model_proxy_runs:
        probes["modelProxy"] = lambda: process_health.require(container.board, "proxy", parts.settings.wedged_seconds)
    checks = parts.probes.all({name: partial(_tried, probe) for name, probe in probes.items()})
    return _report({**checks, **_short_of_room(container.watermarks)})


def _report(checks: Mapping[str, Check]) -> Response:
    wanting = {name: check["status"] for name, check in checks.items() if check["status"] != "ok"}
    fatal = [name for name, status in wanting.items() if status == "failed" and name != "objectStore"]
    body = {"status": "failed" if fatal else "degraded" if wanting else "ok", "checks": checks}
    return json_response(orjson.dumps(body), 503 if wanting else 200)


def _short_of_room(watermarks: Watermarks) -> Mapping[str, Check]:
    """Return the check of the part that has too little room."""
    short = watermarks.find_shortage()
    if short is None:
        return {}
    part = "disk" if short.code == "disk_full" else "redis"
    return {part: {"status": "degraded", "code": short.code, "error": short.message, "remedy": short.remedy}}


def _processes(parts: Parts) -> Check:
    try:
        states = process_states(parts)
    except Unavailable as error:
        return {"status": "failed", "error": error.message}
    unwell = [_told(state) for state in states if state.state != "ok"]
    if not unwell:
        return {"status": "ok"}
    words = "; ".join(f"{each['process']} {each['state']} for {each['seconds']} s: {each['why']}" for each in unwell)
    return {"status": "failed", "error": words, "processes": unwell}


def process_states(parts: Parts) -> list[ProcessState]:
    """Return how the processes of the installation are. Raises Unavailable."""
    container = parts.container
    return process_health.look(container.board, parts.settings.wedged_seconds, awake_seconds=parts.reporter.age)


def _told(state: ProcessState) -> dict[str, Any]:
    return {
        "component": state.component,
        "process": f"{state.component} {state.short_name}",
        "state": state.state,
        "seconds": round(state.seconds),
        "why": state.why,
    }


def _tried(probe: Callable[[], Any]) -> Check:
    try:
        with answering():
            probe()
    except AppError as error:
        return {"status": "failed", "error": error.message}
    except OSError as error:
        return {"status": "failed", "error": error.strerror or type(error).__name__}
    return {"status": "ok"}


def _require_hub(parts: Parts) -> None:
    if not parts.hub.is_alive():
        raise Unavailable("hub_stopped", "The hub's thread has stopped.")
    stuck = parts.container.progress.find_stuck()
    if stuck is not None:
        raise Unavailable("hub_stopped", f"The {stuck.loop} has been stuck for {stuck.seconds:.0f} s: {stuck.why}.")
