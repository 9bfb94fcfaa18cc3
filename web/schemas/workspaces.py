"""The workspace of a session on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from app.models import Snapshot
from web.schemas.common import Id, PageQuery, when
from web.wire import Asked, Shown

Path = Annotated[str, Field(max_length=4096)]
LARGEST_READ = 1_048_576


class PathQuery(Asked):
    path: Path = ""


class FileQuery(Asked):
    """`limit` bytes from `offset`; the header X-Size tells the size of the whole file."""

    path: Path
    offset: int = Field(0, ge=0, le=2**53)
    limit: int = Field(LARGEST_READ, ge=1, le=LARGEST_READ)


class DownloadQuery(PathQuery):
    """A folder comes as an archive, compressed unless asked otherwise."""

    compression: Literal["gzip", "none"] = "gzip"


class DiffQuery(Asked):
    """Against the session's start, or against a snapshot."""

    against: Id | None = None
    format: Literal["json", "patch"] = "json"


class Tree(Shown):
    """One level of a folder. `source` says where it was read: the running sandbox, the newest snapshot, or nowhere yet."""

    path: str
    entries: list[dict[str, Any]]
    source: str
    snapshot_id: str | None


class Diff(Shown):
    """What changed. `truncated`: the patch was cut, the list of files was not."""

    baseline: str | None
    patch: str
    truncated: bool
    files: list[Any]
    source: str


class SnapshotsQuery(PageQuery):
    pass


class SnapshotView(Shown):
    """A saved state of the workspace. A `fuzzy` one was taken while something ran."""

    snapshot_id: str
    run_id: str | None = None
    parent_id: str | None = None
    generation: int
    reason: str
    fuzzy: bool
    files: int
    files_changed: int
    bytes: int
    bytes_sent: int
    seconds: float
    created_at: str


def snapshot_view(row: Snapshot) -> SnapshotView:
    return SnapshotView(
        snapshot_id=row.id,
        run_id=row.run_id,
        parent_id=row.parent_id,
        generation=row.generation,
        reason=row.reason,
        fuzzy=bool(row.fuzzy),
        files=row.files,
        files_changed=row.files_changed,
        bytes=row.bytes,
        bytes_sent=row.bytes_sent,
        seconds=row.seconds,
        created_at=when(row.created_at) or "",
    )
