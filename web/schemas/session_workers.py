"""Session workers on the wire."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from web.wire import Shown


class SessionWorkerView(Shown):
    """The sandbox of a session and whether its files are safe."""

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
