"""The composition root: the one place where parts are chosen and joined. Entry points and tests call `build`."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import peewee
import redis
from dramatiq.brokers.redis import RedisBroker

from app import db
from app.adapters import redis_connection
from app.adapters.dramatiq_bell import DramatiqBell, make_broker
from app.adapters.executor_address import ExecutorClientSettings
from app.adapters.folder_object_store import FolderObjectStore
from app.adapters.httpx_webhooks import HttpxWebhooks
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.adapters.redis_event_stream import RedisEventStream
from app.adapters.redis_gauge import InfoRedisGauge
from app.adapters.redis_process_board import RedisProcessBoard
from app.adapters.redis_tally import RedisTally
from app.config import Settings
from app.domain.prices import Prices
from app.errors import Unavailable
from app.ports import (
    Bell,
    EventStream,
    ObjectStore,
    ProcessBoard,
    RedisGauge,
    Sandboxes,
    Tally,
    WebhookSender,
)
from app.providers.registry import Registry, build_registry
from app.services import holders, redis_check
from app.services.counting import Counters
from app.services.lease_keeper import LeaseKeeper
from app.services.maintenance import Maintenance, MaintenanceParts
from app.services.progress import Progress
from app.services.reconcile import Reconcile
from app.services.retention import Retention
from app.services.run_driver import DriverParts
from app.services.session_workers import SessionWorkers
from app.services.snapshots import Snapshots
from app.services.waiting import Waiting
from app.services.watermarks import Watermarks
from app.services.webhooks import Webhooks

if TYPE_CHECKING:
    from app.adapters.httpx_model_api import ModelApi


@dataclass(frozen=True)
class Container:
    """Every part of the product, made when it is first asked for: nothing connects before that."""

    settings: Settings
    database: peewee.Database
    overrides: dict[str, Any]

    @cached_property
    def redis(self) -> redis.Redis:
        return redis_connection.connect(self.settings.redis)

    @cached_property
    def broker(self) -> RedisBroker:
        return make_broker(self.settings.redis)

    @cached_property
    def stream(self) -> EventStream:
        made: EventStream = self._part("stream", lambda: RedisEventStream(self.redis))
        return made

    @cached_property
    def bell(self) -> Bell:
        made: Bell = self._part("bell", lambda: DramatiqBell(self.settings.redis))
        return made

    @cached_property
    def redis_gauge(self) -> RedisGauge:
        made: RedisGauge = self._part("redis_gauge", lambda: InfoRedisGauge(self.settings.redis))
        return made

    @cached_property
    def watermarks(self) -> Watermarks:
        made: Watermarks = self._part("watermarks", lambda: Watermarks(self.settings, self.redis_gauge))
        return made

    @cached_property
    def store(self) -> ObjectStore:
        made: ObjectStore = self._part("store", lambda: _object_store(self.settings))
        return made

    @cached_property
    def sandboxes(self) -> Sandboxes:
        made: Sandboxes = self._part("sandboxes", lambda: _sandboxes(self.settings))
        return made

    @cached_property
    def providers(self) -> Registry:
        settings = self.settings
        made: Registry = self._part(
            "providers", lambda: build_registry(settings.provider_mode, settings.agent_paths, settings.acp)
        )
        return made

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(self.store)

    @cached_property
    def session_workers(self) -> SessionWorkers:
        mounts = {target: path for provider in self.providers.list() for target, path in provider.mounts().items()}
        made = SessionWorkers(self.settings, self.sandboxes, self.snapshots, self.bell, mounts)
        return made.counting(self.counters)

    @cached_property
    def waiting(self) -> Waiting:
        return Waiting(self.settings, self.session_workers, self.bell)

    @cached_property
    def webhooks(self) -> Webhooks:
        made: WebhookSender = self._part("webhook_sender", lambda: HttpxWebhooks(self.settings.webhook_secret))
        return Webhooks(self.settings, made, self.board, self.counters)

    @cached_property
    def tally(self) -> Tally:
        made: Tally = self._part("tally", lambda: RedisTally(self.redis))
        return made

    @cached_property
    def counters(self) -> Counters:
        return Counters(self.tally)

    @cached_property
    def board(self) -> ProcessBoard:
        made: ProcessBoard = self._part("board", lambda: RedisProcessBoard(self.redis))
        return made

    @cached_property
    def progress(self) -> Progress:
        return Progress()

    @cached_property
    def reconcile(self) -> Reconcile:
        return Reconcile(self.session_workers, self.bell)

    @cached_property
    def maintenance(self) -> Maintenance:
        return Maintenance(
            MaintenanceParts(
                settings=self.settings,
                bell=self.bell,
                stream=self.stream,
                session_workers=self.session_workers,
                waiting=self.waiting,
                webhooks=self.webhooks,
                reconcile=self.reconcile,
                tally=self.tally,
                retention=Retention(self.settings, self.snapshots),
            )
        )

    @cached_property
    def model_api(self) -> ModelApi:
        from app.adapters.httpx_model_api import ModelApi  # late: httpx is slow to load

        return ModelApi(self.settings.provider_settings)

    @cached_property
    def prices(self) -> Prices:
        return Prices.load(*([Path(self.settings.model_prices)] if self.settings.model_prices else []))

    @cached_property
    def owner(self) -> str:
        """The name of this process in leases."""
        return holders.name_of_this_process()

    @cached_property
    def driver_parts(self) -> DriverParts:
        return DriverParts(
            settings=self.settings,
            stream=self.stream,
            store=self.store,
            bell=self.bell,
            providers=self.providers,
            session_workers=self.session_workers,
            keeper=LeaseKeeper(),
            counters=self.counters,
            progress=self.progress,
            watermarks=self.watermarks,
            stopping=threading.Event(),
        )

    def check_executor_host(self) -> None:
        """Raise Unavailable, with what to do, where EXECUTOR_BASE_URL names a host that is of no use now."""
        check = getattr(self.sandboxes, "check", None)
        if check is not None:
            check()

    def require_fit_redis(self) -> None:
        """For entry points, before they begin: leave, with status 1 and what to do, where Redis would not keep what it is told."""
        try:
            redis_check.require_fit(self.redis_gauge, own=not self.settings.redis_url)
        except Unavailable as unfit:
            raise SystemExit(f"{unfit.message} {unfit.remedy}") from None

    def _part(self, name: str, make: Any) -> Any:
        return self.overrides[name] if name in self.overrides else make()


def build(settings: Settings, **overrides: Any) -> Container:
    """Join the parts for these settings; `overrides` (stream, bell, store, sandboxes, providers) take a part's place."""
    database = db.connect(settings.database)
    db.bind(database)
    return Container(settings, database, overrides)


def _object_store(settings: Settings) -> ObjectStore:
    if not settings.s3_endpoint:
        return FolderObjectStore(settings.root / "objects")
    from app.adapters import minio_object_store as s3  # late: few need it, and it is slow to load

    return s3.MinioObjectStore(
        s3.S3Settings(
            endpoint=settings.s3_endpoint,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            bucket=settings.s3_bucket,
            region=settings.s3_region,
            secure=settings.s3_secure,
        )
    )


def _sandboxes(settings: Settings) -> Sandboxes:
    if not settings.executor_base_url:
        return LocalSandboxes(_sandbox_settings(settings))
    from app.adapters.external_sandboxes import ExternalSandboxes  # late: httpx is slow to load

    return ExternalSandboxes(settings.executor_base_url, settings.executor_auth_token, _client_settings(settings))


def _client_settings(settings: Settings) -> ExecutorClientSettings:
    return replace(
        ExecutorClientSettings(),
        max_retries=settings.executor_max_retries,
        retry_delay_ms=int(settings.executor_retry_delay_ms),
        timeout_ms=int(settings.executor_timeout_ms),
        retry_status_codes=frozenset(
            int(code) for code in settings.executor_retry_status_codes.split(",") if code.strip()
        ),
    )


def _sandbox_settings(settings: Settings) -> LocalSandboxSettings:
    return LocalSandboxSettings(
        folder=settings.root / "sandboxes",
        bubblewrap=settings.bubblewrap,
        orphan_seconds=settings.orphan_seconds,
        only_peer=settings.only_peer,
        client=_client_settings(settings),
    )
