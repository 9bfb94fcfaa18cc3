"""What requests share within one web process: the container's parts, and what web itself keeps: the hub, limits, counters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flask import current_app

from app.adapters.redis_live_feed import RedisLiveFeed
from app.adapters.redis_try_counter import RedisTryCounter
from app.config import Settings
from app.container import Container
from app.services.log_reader import LogReader
from app.services.workspaces import Workspaces
from web.hub import Hub
from web.limits import CallLimit, LoginLimit
from web.open_streams import OpenStreams
from web.readiness import ProviderReadiness


@dataclass(frozen=True)
class Parts:
    """A view gets it by asking for `parts: Parts`."""

    container: Container
    hub: Hub
    log_reader: LogReader
    calls: CallLimit
    logins: LoginLimit
    streams: OpenStreams
    readiness: ProviderReadiness
    workspaces: Workspaces
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Requests since the start of this process, by declared route (never by address, which callers can make up) and status."""

    @property
    def settings(self) -> Settings:
        return self.container.settings


def join(container: Container) -> Parts:
    """Make web's own parts."""
    settings = container.settings
    reader = LogReader(container.stream)
    return Parts(
        container=container,
        hub=Hub(reader, RedisLiveFeed(settings.redis), settings.heartbeat_seconds),
        log_reader=reader,
        calls=CallLimit(settings.calls_per_minute),
        logins=LoginLimit(RedisTryCounter(container.redis)),
        streams=OpenStreams(settings.streams_per_principal),
        readiness=ProviderReadiness(container.providers, settings.provider_settings),
        workspaces=Workspaces(container.session_workers, container.snapshots),
    )


def parts() -> Parts:
    """Return the parts of the application that serves this request."""
    found: Parts = current_app.extensions["paddock"]
    return found
