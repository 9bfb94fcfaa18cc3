"""The settings: the one reader of the environment. Every field is described in `docs/operations.md` (a test fails otherwise).

A variable `X` that is a secret may be given as `X_FILE`, the path of a file that holds it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import SettingsConfigDict

from app import places
from app.agent_settings import AgentSettings


def _names(*names: str) -> Any:
    return AliasChoices(*names)


HIGHEST_PORT = 65_535
_LOOPBACK = ("127.0.0.1", "localhost", "0.0.0.0")  # noqa: S104 - compared, not bound

SECRET_NAMES = (
    "PADDOCK_BOOTSTRAP_TOKEN",
    "DATABASE_URL",
    "REDIS_URL",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "PADDOCK_WEBHOOK_SECRET",
    "EXECUTOR_AUTH_TOKEN",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "OPENAI_API_KEY",
    "PADDOCK_MODEL_TOKEN_SECRET",
)


class Settings(AgentSettings):
    """Everything has a default that works on one machine."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", populate_by_name=True, frozen=True)

    var: Path = Field(
        Path("var"), validation_alias=_names("PADDOCK_VAR"), description="All state of the one-machine version."
    )
    host: str = Field("127.0.0.1", validation_alias=_names("PADDOCK_HOST"), description="Address that web listens on.")
    port: int = Field(8000, validation_alias=_names("PADDOCK_PORT"), description="Port that web listens on.")
    public_url: str = Field(
        "",
        validation_alias=_names("PADDOCK_PUBLIC_URL"),
        description="Address that users type, when it is not http://host:port; its origin is the one browsers may use.",
    )
    database_url: str = Field(
        "",
        validation_alias=_names("DATABASE_URL"),
        description="postgres://… or sqlite:///path; empty: a SQLite file below PADDOCK_VAR.",
    )
    redis_url: str = Field(
        "",
        validation_alias=_names("REDIS_URL"),
        description="redis://… or unix://…; empty: a Redis that Paddock starts itself below PADDOCK_VAR.",
    )
    s3_endpoint: str = Field(
        "",
        validation_alias=_names("S3_ENDPOINT"),
        description="host:port or address of an S3; empty: objects lie in a folder below PADDOCK_VAR.",
    )
    s3_access_key: str = Field("", validation_alias=_names("S3_ACCESS_KEY"), description="Access key of that S3.")
    s3_secret_key: str = Field("", validation_alias=_names("S3_SECRET_KEY"), description="Its secret key.")
    s3_bucket: str = Field(
        "paddock",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        validation_alias=_names("S3_BUCKET"),
        description="Bucket of that S3 for Paddock alone; it is made where it is missing.",
    )
    s3_region: str = Field("us-east-1", validation_alias=_names("S3_REGION"), description="Region of that S3.")
    s3_secure: bool = Field(
        True, validation_alias=_names("S3_SECURE"), description="TLS, where S3_ENDPOINT names no scheme of its own."
    )
    bootstrap_token: str = Field(
        "",
        validation_alias=_names("PADDOCK_BOOTSTRAP_TOKEN"),
        description="The owner's API token at first start; empty: one is made and kept in PADDOCK_VAR/owner-token.",
    )
    provider_mode: Literal["real", "scripted"] = Field(
        "real",
        validation_alias=_names("PADDOCK_PROVIDER_MODE", "CONTROL_PLANE_PROVIDER_MODE"),
        description="`scripted` routes every provider to the scripted one.",
    )
    default_provider: str = Field(
        "claude-code",
        validation_alias=_names("PADDOCK_DEFAULT_PROVIDER"),
        description="Provider of a run that names none.",
    )
    log_level: str = Field(
        "INFO", validation_alias=_names("PADDOCK_LOG_LEVEL"), description="Lowest level that is logged."
    )
    log_json: bool = Field(
        True, validation_alias=_names("PADDOCK_LOG_JSON"), description="JSON lines (true) or text for people (false)."
    )

    lease_seconds: float = Field(
        30,
        validation_alias=_names("PADDOCK_LEASE_SECONDS"),
        description="How long a worker holds a run without renewing; `RUN_QUEUE_LOCK_MS` gives it in milliseconds.",
    )
    run_queue_lock_ms: float | None = Field(
        None,
        validation_alias=_names("RUN_QUEUE_LOCK_MS"),
        description="The same in milliseconds; wins where it is set.",
    )
    retry_delay_ms: float = Field(
        2000,
        validation_alias=_names("RUN_QUEUE_RETRY_DELAY_MS", "PADDOCK_RETRY_DELAY_MS"),
        description="A failed attempt is tried again after this times the attempt.",
    )
    owner: str = Field(
        "",
        validation_alias=_names("RUN_QUEUE_OWNER"),
        description="Name of this worker in leases; empty: host, process and start.",
    )
    max_attempts: int = Field(
        3, validation_alias=_names("PADDOCK_MAX_ATTEMPTS"), description="Failures after which a run is not tried again."
    )
    worker_threads: int = Field(
        8, validation_alias=_names("PADDOCK_WORKER_THREADS"), description="Runs that one worker process drives at once."
    )
    breaker_failures: int = Field(
        5,
        ge=0,
        validation_alias=_names("PADDOCK_BREAKER_FAILURES"),
        description="Failures of a provider in a row after which its runs wait; 0: they never do.",
    )
    breaker_seconds: float = Field(
        30,
        gt=0,
        validation_alias=_names("PADDOCK_BREAKER_SECONDS"),
        description="Until one of them tries again; twice as long after each that fails, up to 16 times.",
    )
    worker_processes: int = Field(
        2, validation_alias=_names("PADDOCK_WORKER_PROCESSES"), description="Worker processes that `make up` starts."
    )
    web_processes: int = Field(2, validation_alias=_names("PADDOCK_WEB_PROCESSES"), description="Web processes.")
    sweep_seconds: float = Field(
        5,
        validation_alias=_names("PADDOCK_SWEEP_SECONDS"),
        description="How often the scheduler looks for leases that are over and runs nobody rang for.",
    )
    idle_seconds: float = Field(
        900,
        validation_alias=_names("PADDOCK_IDLE_SECONDS"),
        description="A sandbox without a run for this long is saved and stopped.",
    )
    remove_after_seconds: float = Field(
        604800,
        validation_alias=_names("PADDOCK_REMOVE_AFTER_SECONDS"),
        description="A sandbox stopped for this long is removed; its files live on in the object store.",
    )
    waiting_keep_seconds: float = Field(
        900,
        validation_alias=_names("PADDOCK_WAITING_KEEP_SECONDS"),
        description="A run that waits for a person this long has its sandbox saved and stopped; the answer starts it again.",
    )
    waiting_max: int = Field(
        100,
        validation_alias=_names("PADDOCK_WAITING_MAX"),
        description="Sandboxes kept for runs that wait for people; above it those that have waited longest are stopped.",
    )
    waiting_look_seconds: float = Field(
        10,
        validation_alias=_names("PADDOCK_WAITING_LOOK_SECONDS"),
        description="How often the agents of waiting runs are looked at.",
    )
    webhook_url: str = Field(
        "",
        validation_alias=_names("PADDOCK_WEBHOOK_URL"),
        description="Address that is told when a run waits for a person, as Standard Webhooks.",
    )
    alert_url: str = Field(
        "",
        validation_alias=_names("PADDOCK_ALERT_URL"),
        description="Address that is told when something is wrong: old queue, lost leases, failed syncs; hourly as long as it lasts.",
    )
    webhook_secret: str = Field(
        "",
        validation_alias=_names("PADDOCK_WEBHOOK_SECRET"),
        description="`whsec_` and base64; signs what both are sent.",
    )
    wedged_seconds: float = Field(
        20,
        validation_alias=_names("PADDOCK_WEDGED_SECONDS"),
        description="A process that makes no progress for this long makes `/health` answer 503 and is an alert.",
    )
    log_bytes: int = Field(
        10 * 1024 * 1024,
        ge=4096,
        validation_alias=_names("PADDOCK_LOG_BYTES"),
        description="Above this size a file of `PADDOCK_VAR/logs` is moved to `.log.1`.",
    )
    alert_queue_seconds: float = Field(
        120,
        validation_alias=_names("PADDOCK_ALERT_QUEUE_SECONDS"),
        description="A run that waits for a worker longer than this is an alert.",
    )
    orphan_seconds: float = Field(
        600,
        validation_alias=_names("PADDOCK_ORPHAN_SECONDS"),
        description="How long an executor lets its agent work without hearing from Paddock; 0: not at all.",
    )
    stop_grace_seconds: float = Field(
        2,
        validation_alias=_names("PADDOCK_STOP_GRACE_SECONDS"),
        description="Between interrupt and SIGTERM of an agent; SIGKILL follows after half of it.",
    )
    silence_seconds: float = Field(
        900,
        ge=0,
        validation_alias=_names("PADDOCK_SILENCE_SECONDS"),
        description="An agent that says nothing for this long, runs no tool, calls no model and asks nobody is ended; 0: never.",
    )
    run_log_bytes: int = Field(
        64 * 1024 * 1024,
        gt=0,
        validation_alias=_names("PADDOCK_RUN_LOG_BYTES"),
        description="Largest log of a run; beyond it text and tool output are left out, and `output_truncated` says so.",
    )
    heartbeat_seconds: float = Field(
        15,
        validation_alias=_names("PADDOCK_HEARTBEAT_SECONDS"),
        description="Between two heartbeat events of a stream.",
    )
    min_free_bytes: int = Field(
        256 * 1024 * 1024,
        ge=0,
        validation_alias=_names("PADDOCK_MIN_FREE_BYTES"),
        description="With less free disk below PADDOCK_VAR no new work is taken; 0: never mind.",
    )
    redis_full_percent: float = Field(
        90,
        gt=0,
        le=100,
        validation_alias=_names("PADDOCK_REDIS_FULL_PERCENT"),
        description="Above this part of its `maxmemory` Redis is full: no new work is taken.",
    )
    max_body_bytes: int = Field(
        1_048_576, validation_alias=_names("PADDOCK_MAX_BODY_BYTES"), description="Largest JSON body taken."
    )
    max_bundle_bytes: int = Field(
        512 * 1024 * 1024, validation_alias=_names("PADDOCK_MAX_BUNDLE_BYTES"), description="Largest git bundle taken."
    )
    idempotency_seconds: float = Field(
        86_400,
        ge=120,
        validation_alias=_names("PADDOCK_IDEMPOTENCY_SECONDS"),
        description="How long an Idempotency-Key holds; used again after that it is a new request.",
    )
    retention_days: float | None = Field(
        None,
        gt=0,
        validation_alias=_names("PADDOCK_RETENTION_DAYS"),
        description="Logs and older snapshots of sessions that were archived or not used for so long are deleted; unset: never.",
    )
    calls_per_minute: int = Field(
        60_000,
        validation_alias=_names("PADDOCK_CALLS_PER_MINUTE"),
        description="Calls that one principal may make of one web process; ten seconds' worth at once.",
    )
    streams_per_principal: int = Field(
        4096,
        validation_alias=_names("PADDOCK_STREAMS_PER_PRINCIPAL"),
        description="Streams that one principal may have open at one web process.",
    )
    repo_hosts: str = Field(
        "github.com,gitlab.com,bitbucket.org,codeberg.org",
        validation_alias=_names("PADDOCK_REPO_HOSTS"),
        description="Hosts that repositories may be cloned from, comma-separated; `*` admits every public address.",
    )
    sandbox: Literal["local"] = Field(
        "local", validation_alias=_names("PADDOCK_SANDBOX"), description="Kind of sandbox; containers come later."
    )
    bubblewrap: Literal["auto", "off"] = Field(
        "auto",
        validation_alias=_names("PADDOCK_BUBBLEWRAP"),
        description="`off` runs local sandboxes without bubblewrap even where it works.",
    )
    sandbox_network: Literal["open", "model-only"] = Field(
        "open",
        validation_alias=_names("PADDOCK_SANDBOX_NETWORK"),
        description="`model-only` lets agents in local sandboxes reach the model proxy and nothing else; takes bubblewrap.",
    )

    external_silence_seconds: float = Field(
        600,
        gt=0,
        validation_alias=_names("PADDOCK_EXTERNAL_SILENCE_SECONDS"),
        description="How long an external executor may be silent before the run that it bound fails.",
    )
    external_stop_seconds: float = Field(
        30,
        gt=0,
        validation_alias=_names("PADDOCK_EXTERNAL_STOP_SECONDS"),
        description="How long it has to end a run that it was asked to stop; then the run is canceled without it.",
    )
    executor_base_url: str = Field(
        "",
        validation_alias=_names("EXECUTOR_BASE_URL"),
        description="Address of one external executor host for all sessions; empty: each sandbox has its own on this machine.",
    )
    executor_auth_token: str = Field(
        "",
        validation_alias=_names("EXECUTOR_AUTH_TOKEN"),
        description="Token that the external executor host asks for.",
    )
    executor_retry_status_codes: str = Field(
        "500,502,503,504",
        pattern=r"^\s*(5\d\d)?(\s*,\s*5\d\d)*\s*$",
        validation_alias=_names("EXECUTOR_RETRY_STATUS_CODES"),
        description="Answers of an executor after which a call is tried again.",
    )
    executor_max_retries: int = Field(
        3, validation_alias=_names("EXECUTOR_MAX_RETRIES"), description="Tries of a call to an executor."
    )
    executor_retry_delay_ms: float = Field(
        200, validation_alias=_names("EXECUTOR_RETRY_DELAY_MS"), description="Pause before try n + 1: this times n."
    )
    executor_timeout_ms: float = Field(
        15000, validation_alias=_names("EXECUTOR_TIMEOUT_MS"), description="Longest wait for an executor's answer."
    )

    @property
    def lease_duration(self) -> float:
        """Seconds that a lease lasts."""
        return self.run_queue_lock_ms / 1000 if self.run_queue_lock_ms else self.lease_seconds

    @property
    def root(self) -> Path:
        """The absolute folder of all state."""
        return self.var.expanduser().resolve()

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{self.root / 'paddock.sqlite3'}"

    @property
    def redis_socket(self) -> Path:
        """The unix socket of the Redis that Paddock starts itself."""
        return places.redis_socket(self.root)

    @property
    def redis(self) -> str:
        """The URL of Redis."""
        return self.redis_url or f"unix://{quote(str(self.redis_socket))}"

    @property
    def address(self) -> str:
        """The address that users type, without a slash at the end."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def model_proxy_runs(self) -> bool:
        """Whether agents go through the model proxy."""
        return self.model_proxy and self.has_model_key and self.provider_mode == "real"

    @property
    def model_proxy_bind(self) -> tuple[str, int]:
        """Host and port that the model proxy listens on."""
        after = self.port + 1 if self.port < HIGHEST_PORT else self.port - 1
        return self.model_proxy_host, self.model_proxy_port or after

    @property
    def model_proxy_address(self) -> str:
        """The address at which agents reach the model proxy, without a slash at the end."""
        host, port = self.model_proxy_bind
        return (self.model_proxy_url or f"http://{f'[{host}]' if ':' in host else host}:{port}").rstrip("/")

    @property
    def only_peer(self) -> str | None:
        """What agents in fenced sandboxes reach, `host:port` of the model proxy, or empty where there is none; None without a fence."""
        if self.sandbox_network == "open":
            return None
        return urlsplit(self.model_proxy_address).netloc if self.model_proxy_runs else ""

    @model_validator(mode="after")
    def _can_fence(self) -> Self:
        if self.sandbox_network == "open":
            return self
        if self.executor_base_url:
            raise ValueError(
                "PADDOCK_SANDBOX_NETWORK is for sandboxes on this machine; EXECUTOR_BASE_URL names another host."
            )
        if self.has_model_key and self.provider_mode == "real" and not self.model_proxy:
            raise ValueError("PADDOCK_SANDBOX_NETWORK=model-only needs the model proxy: unset PADDOCK_MODEL_PROXY.")
        if self.only_peer and self.only_peer.rpartition(":")[0] not in _LOOPBACK:
            raise ValueError("PADDOCK_SANDBOX_NETWORK=model-only needs the model proxy on 127.0.0.1, with its port.")
        return self

    @property
    def secrets(self) -> list[str]:
        """Values that must never be seen: secrets, and the passwords within addresses."""
        fields = [name for name, names in names_of_settings().items() if set(names) & set(SECRET_NAMES)]
        values = [str(getattr(self, name)) for name in fields]
        return [
            part for value in values for part in (value, urlsplit(value).password if "://" in value else "") if part
        ]


def names_of_settings() -> dict[str, tuple[str, ...]]:
    """Return the environment variables that give each setting; secrets also as `X_FILE`."""
    names = {}
    for field, info in Settings.model_fields.items():
        alias = info.validation_alias
        own = tuple(str(name) for name in alias.choices) if isinstance(alias, AliasChoices) else ()
        names[field] = (*own, *(f"{name}_FILE" for name in own if name in SECRET_NAMES))
    return names


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment, `.env` and the files that `X_FILE` name; `overrides` win."""
    for name in SECRET_NAMES:
        path = os.environ.get(f"{name}_FILE")
        if path and not os.environ.get(name):
            os.environ[name] = Path(path).read_text(encoding="utf-8").strip()
    return Settings(**overrides)
