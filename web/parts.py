"""What requests share within one web process: the container's parts, and what web itself keeps: the hub, limits, counters."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import current_app

from app.adapters.redis_live_feed import RedisLiveFeed
from app.adapters.redis_try_counter import RedisTryCounter
from app.config import Settings
from app.container import Container
from app.services.log_reader import LogReader
from app.services.process_health import Reporter
from app.services.workspaces import Workspaces
from web.hub import Hub
from web.limits import CallLimit, LoginLimit
from web.open_streams import OpenStreams
from web.probes import Probes
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
    reporter: Reporter
    probes: Probes = field(default_factory=Probes)

    @property
    def settings(self) -> Settings:
        return self.container.settings


def join(container: Container) -> Parts:
    """Make web's own parts."""
    settings = container.settings
    reader = LogReader(container.stream)
    progress = container.progress
    progress.expect("hub", settings.heartbeat_seconds + settings.wedged_seconds)
    reporter = Reporter("web", container.owner, progress, container.board)
    streams = OpenStreams(settings.streams_per_principal)
    reporter.streams = streams.count
    return Parts(
        container=container,
        hub=Hub(reader, RedisLiveFeed(settings.redis), settings.heartbeat_seconds, lambda: progress.turned("hub")),
        log_reader=reader,
        calls=CallLimit(settings.calls_per_minute),
        logins=LoginLimit(RedisTryCounter(container.redis)),
        streams=streams,
        readiness=ProviderReadiness(container.providers, settings.provider_settings),
        workspaces=Workspaces(container.session_workers, container.snapshots),
        reporter=reporter,
    )


def parts() -> Parts:
    """Return the parts of the application that serves this request."""
    found: Parts = current_app.extensions["paddock"]
    return found
