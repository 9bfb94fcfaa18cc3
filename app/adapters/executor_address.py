"""Where an executor is and how patient its clients are. Talking to one is in `httpx_executor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ExecutorClientSettings:
    """SPEC §7: what is tried again, how often, and how long an answer may take."""

    max_retries: int = 3
    retry_delay_ms: int = 200
    timeout_ms: int = 15_000
    retry_status_codes: frozenset[int] = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class ExecutorAddress:
    """Where an executor is: `socket` (a unix socket's path) or `base_url`; `labels` are its own trace headers without `x-`
    (`session-id, executor-id`); the others are those of the log's context."""

    token: str
    generation: int
    socket: Path | None = None
    base_url: str = "http://executor"
    labels: Mapping[str, str] = field(default_factory=dict)
