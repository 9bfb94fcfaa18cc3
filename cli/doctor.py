"""What `paddock doctor` looks at on this machine. Each finding says what to do; nothing is changed, no server is needed."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import redis

from app import db
from app.adapters.bubblewrap import sandbox_mode
from app.adapters.redis_gauge import InfoRedisGauge
from app.config import Settings
from app.errors import AppError
from app.ports import Provider
from app.providers.footprint import credentials_of
from app.providers.registry import build_registry
from app.services import redis_check
from cli import embedded_redis, first_start, lifecycle
from cli.errors import CommandFailed
from cli.house import House, address
from cli.supervisor import Record

LEAST_FREE_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    subject: str
    state: Literal["ok", "warning", "problem"]
    text: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        facts = {"subject": self.subject, "state": self.state, "text": self.text, "remedy": self.remedy}
        return {name: value for name, value in facts.items() if value}


def examine(house: House, settings: Settings) -> list[Finding]:
    """Return what there is to say about this machine, in the order in which a person would mend it."""
    running = Record(house.run).supervisor() is not None
    return [
        python(),
        git(),
        bubblewrap(settings),
        disk(house, settings),
        database(settings),
        redis_server(settings, running),
        web(settings, running),
        *agents(settings),
    ]


def python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def git() -> Finding:
    found = shutil.which("git")
    if found is None:
        return Finding("git", "problem", "not installed", "apt-get install -y git (repositories are seeded with it)")
    return Finding("git", "ok", found)


def bubblewrap(settings: Settings) -> Finding:
    """Sandboxes are a boundary only with bubblewrap; plain ones are for one trusted user."""
    plain = "local sandboxes are plain processes: agents see this user's files"
    state: Literal["warning", "problem"] = "warning"
    if settings.only_peer is not None:
        plain, state = "PADDOCK_SANDBOX_NETWORK=model-only needs bubblewrap: no sandbox starts", "problem"
    if settings.bubblewrap == "off":
        return Finding("sandbox", state, f"{plain} (PADDOCK_BUBBLEWRAP=off)", "Unset PADDOCK_BUBBLEWRAP.")
    if shutil.which("bwrap") is None:
        return Finding("sandbox", state, plain, "apt-get install -y bubblewrap")
    if sandbox_mode(settings.bubblewrap) == "plain":
        return Finding("sandbox", state, f"{plain}; bubblewrap does not work", "Allow user namespaces.")
    network = "" if settings.only_peer is None else ", and reach their model alone"
    return Finding("sandbox", "ok", f"bubblewrap: agents have their own view of the file system{network}")


def disk(house: House, settings: Settings) -> Finding:
    folder = house.var
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1024**3:.1f} GiB free for {house.var}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "problem", f"{folder} cannot be written", "Choose another folder: PADDOCK_VAR")
    if free < settings.min_free_bytes:
        return Finding(
            "disk", "problem", f"{text}: no new work is taken", "Make room, or lower PADDOCK_MIN_FREE_BYTES."
        )
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "warning", text, "Make room, or choose another folder: PADDOCK_VAR")
    return Finding("disk", "ok", text)


def database(settings: Settings) -> Finding:
    url = settings.database
    name = f"SQLite {sqlite3.sqlite_version}" if url.startswith("sqlite:") else "PostgreSQL"
    if url.startswith("sqlite:") and not Path(url.removeprefix("sqlite:///")).exists():
        return Finding("database", "ok", f"{name}, made at the first start")
    try:
        with first_start.database_of(settings):
            db.check()
    except CommandFailed as error:
        return Finding("database", "problem", f"{name}: {error.detail}", error.remedy)
    return Finding("database", "ok", f"{name} answers")


def redis_server(settings: Settings, running: bool) -> Finding:
    if not settings.redis_url and not running:
        return Finding("redis", "ok", f"started with the rest: {embedded_redis.find_binary()}")
    try:
        state = InfoRedisGauge(settings.redis).look()
    except (AppError, redis.RedisError) as error:
        remedy = "Look at REDIS_URL." if settings.redis_url else "Look at `make logs`; `make up` starts it."
        return Finding("redis", "problem", f"does not answer: {error}", remedy)
    faults = redis_check.faults_of(state, own=not settings.redis_url)
    if faults:
        worst = redis_check.first_fatal(faults)
        text = " ".join(fault.message for fault in faults)
        remedy = " ".join(fault.remedy for fault in faults)
        return Finding("redis", "warning" if worst is None else "problem", text, remedy)
    return Finding(
        "redis", "ok", f"{state.name} answers ({'REDIS_URL' if settings.redis_url else settings.redis_socket})"
    )


def web(settings: Settings, running: bool) -> Finding:
    if running:
        code, _ = lifecycle.ask_ready()
        unwell = lifecycle.find_unwell()
        if unwell:
            return Finding("web", "problem", "; ".join(unwell), "End the process that is named; it is started again.")
        if code == 200:
            return Finding("web", "ok", f"ready at {address()}")
        return Finding("web", "problem", f"{address()} is not ready", "Look at `make status` and `make logs`.")
    try:
        lifecycle.require_free_port(settings.host, settings.port)
    except CommandFailed as error:
        return Finding("web", "problem", error.title, error.remedy)
    return Finding("web", "ok", f"not running; port {settings.port} is free. Start it: make up")


def agents(settings: Settings) -> Iterator[Finding]:
    """One finding per provider: version, credentials, model and binary, never a call to a model."""
    for provider in build_registry(settings.provider_mode, settings.agent_paths, settings.acp).list():
        readiness = provider.readiness(settings.provider_settings)
        text = f"version {readiness.version}" if readiness.version else "version unknown"
        if readiness.failure is not None:
            text = readiness.failure.message if not readiness.installed else f"{text}; {readiness.failure.message}"
        told = [text, *_footprint(provider, settings)]
        told += [readiness.binary] if readiness.binary else []
        if readiness.failure is None:
            yield Finding(provider.kind, "ok", "; ".join(told))
        else:
            yield Finding(provider.kind, "warning", "; ".join(told), readiness.failure.advice)


def _footprint(provider: Provider, settings: Settings) -> Iterator[str]:
    given = settings.provider_settings
    found = credentials_of(provider.kind, given, settings.claude_code_oauth_token, Path.home())
    if found:
        yield f"credentials {', '.join(map(str, found))}"
    model = provider.model(None, given)
    if model is not None:
        yield f"model {model}"
