"""Session workers on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from web.schemas.common import WaitBody
from web.wire import Shown


class CleanupBody(WaitBody):
    """`olderThanSeconds` instead of the setting of the platform."""

    older_than_seconds: float | None = Field(None, ge=0, le=1e9)


class CleanupView(Shown):
    """What became of each sandbox that was looked at. `skipped`: busy, or in use again; `pending`: not decided yet."""

    checked: int
    done: int
    skipped: int
    failed: int
    pending: int = 0
    items: list[dict[str, Any]]


class SessionWorkerView(Shown):
    """The sandbox of a session and whether its files are safe. `receipt` proves that everything was saved after the last write of
    this generation: `{generation, startedAt, snapshotId}`."""

    model_config = ConfigDict(extra="allow")

    session_id: str
    title: str
    status: str
    generation: int
    sync_state: str
    last_sync_status: str
    last_sync_error: str | None = None
    last_sync_at: str | None = None
    snapshot_id: str | None = None
    workspace_s3_prefix: str | None = None
    receipt: dict[str, Any] | None = None
    error: str | None = None
    wish: str | None = None
    wish_error: str | None = None
    last_used_at: str | None = None
    started_at: str | None = None
    stopped_at: str | None = None
    created_at: str
