"""The workspace of a session on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from app.models import Snapshot
from web.schemas.common import Id, PageQuery, ShownAs, when
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
    """A folder comes as an archive, compressed unless asked otherwise. `inline`: a picture or a PDF is sent as what its bytes are, to be
    shown in a page; everything else comes as a download all the same."""

    compression: Literal["gzip", "none"] = "gzip"
    inline: bool = False


class DiffQuery(Asked):
    """Against the session's start, or against a snapshot. `files` is JSON with each file's own patch instead of the whole one."""

    against: Id | None = None
    format: Literal["json", "files", "patch"] = "json"


Source = Literal["live", "snapshot", "none"]


class TreeEntry(Shown):
    """`target` is where a link leads."""

    name: str
    path: str
    type: Literal["file", "dir", "symlink"]
    mode: int
    size: int | None = None
    target: str | None = None


class Tree(Shown):
    """One level of a folder. `source` says where it was read: the running sandbox, the newest snapshot, or nowhere yet; `savedAt` is the
    snapshot's time."""

    path: str
    entries: list[Annotated[dict[str, Any], ShownAs(TreeEntry)]]
    source: Source
    snapshot_id: str | None
    saved_at: str | None


class DiffFile(Shown):
    """A file that changed. A `binary` one has no lines to count; one that is `tooLarge` has no patch here. These two and `patch` are there
    in the form `files`."""

    path: str
    status: Literal["added", "modified", "deleted"]
    additions: int | None = None
    deletions: int | None = None
    binary: bool | None = None
    too_large: bool | None = None
    patch: str | None = None


class Diff(Shown):
    """What changed. `truncated`: the patch was cut, the list of files was not. `savedAt` is the time of the snapshot it was read from."""

    baseline: str | None
    patch: str | None = None
    truncated: bool
    files: list[Annotated[dict[str, Any], ShownAs(DiffFile)]]
    source: Source
    snapshot_id: str | None
    saved_at: str | None


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


def tree_view(found: Mapping[str, Any]) -> Tree:
    return Tree.model_validate({**found, "savedAt": when(found["savedAt"])})


def diff_view(found: Mapping[str, Any]) -> Diff:
    return Diff.model_validate({**found, "savedAt": when(found["savedAt"])})


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
