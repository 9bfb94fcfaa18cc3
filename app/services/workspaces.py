"""Reading the workspace of a session: from its sandbox while that runs, else from its newest snapshot. Never starts a sandbox (SPEC §4).

Whether the caller may see the session is the loader's business; saving and restoring is in `snapshots`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal, TypeVar, cast

from app.domain.manifest import NOTHING, Entry, Manifest
from app.domain.paths import workspace_path
from app.errors import Invalid, NotFound
from app.models import Snapshot
from app.ports import Executor, ExecutorError, WorkspaceHost
from app.services import snapshot_diff, worker_rows
from app.services.session_workers import SessionWorkers
from app.services.snapshots import Snapshots, is_below, not_a_file
from app.services.tar_stream import tar_of
from app.services.worker_stop import not_active

LARGEST_READ = 1024 * 1024
IN_MEMORY_BYTES = 4 * 1024 * 1024
Source = Literal["live", "snapshot", "none"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FilePart:
    """`data` is what lies at `offset`; `size` is the whole file's. `snapshot`: which one it was read from."""

    path: str
    data: bytes
    offset: int
    size: int
    mode: int
    source: Source
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Download:
    """`size` is None for an archive, whose length is not known before its end."""

    filename: str
    media_type: str
    size: int | None
    chunks: Iterator[bytes]
    source: Source = "live"
    snapshot: Snapshot | None = None


class Workspaces:
    """The workspaces of all sessions, for reading."""

    def __init__(self, workers: SessionWorkers, snapshots: Snapshots) -> None:
        self._workers, self._snapshots = workers, snapshots

    def tree(self, session_id: str, path: str = "") -> dict[str, Any]:
        """Return one level: `{path, entries: [{name, path, type, mode, size, target?}], source, snapshotId, savedAt}`. NotFound,
        Invalid."""
        path = workspace_path(path)

        def live(executor: Executor) -> dict[str, Any]:
            return _listing(path, [_shown(entry) for entry in executor.tree("workspace", path)], None)

        def saved(row: Snapshot | None, manifest: Manifest) -> dict[str, Any]:
            entries = [_shown(entry.bare().as_json()) for entry in _children(manifest, path)]
            return {**_listing(path, entries, row), "source": "snapshot" if row else "none"}

        return self._read(session_id, live, saved)

    def file(self, session_id: str, path: str, *, offset: int = 0, limit: int = LARGEST_READ) -> FilePart:
        """Return part of a file, `limit` bytes at most. NotFound, Invalid `path_outside` or `not_a_file`."""
        path, limit = workspace_path(path), min(limit, LARGEST_READ)

        def live(executor: Executor) -> FilePart:
            data, facts = executor.read_file(path, offset=offset, limit=limit)
            return FilePart(path, data, offset, int(facts["size"]), int(facts["mode"]), "live")

        def saved(row: Snapshot | None, _: Manifest) -> FilePart:
            stream, entry = self._open(row, path)
            with closing(stream):
                _skip(stream, offset)
                return FilePart(path, _read_up_to(stream, limit), offset, entry.size, entry.mode, "snapshot", row)

        return self._read(session_id, live, saved)

    def download(self, session_id: str, path: str = "") -> Download:
        """Return a file as it is, or a folder (the whole workspace) as a tar archive."""
        path = workspace_path(path)

        def live(executor: Executor) -> Download:
            found = _begin_file(executor, path)
            if found is not None:
                first, size = found
                return _file_download(path, size, _rest(executor, path, first, size))
            manifest = executor.scan(("workspace",), reason="download", known=self._newest_manifest(session_id))
            below = _below(manifest, path)
            return _archive(session_id, path, tar_of(_live_members(executor, below)))

        def saved(row: Snapshot | None, manifest: Manifest) -> Download:
            entry = manifest.find("workspace", path) if path else None
            if row is not None and entry is not None and entry.type == "file":
                stream, entry = self._open(row, path)
                return _file_download(path, entry.size, _chunks(stream))
            folder = entry.path if entry else path
            below = _below(manifest, folder)
            return _archive(session_id, path, self._snapshots.tar(row, folder) if row else tar_of(_bare(below)))

        def told(row: Snapshot | None, manifest: Manifest) -> Download:
            return replace(saved(row, manifest), source="snapshot" if row else "none", snapshot=row)

        return self._read(session_id, live, told)

    def diff(self, session_id: str, against: str | None = None) -> dict[str, Any]:
        """Return what changed since the session's start, or since snapshot `against`: `{baseline, patch, truncated, files, source,
        snapshotId, savedAt}`.
        Against a snapshot the newest one is compared, running or not."""
        if against is not None:
            return self._diff_saved(session_id, self._snapshot_of(session_id, against))

        def live(executor: Executor) -> dict[str, Any]:
            return {**executor.diff(self._baseline(session_id)), "source": "live", **_saved_as(None)}

        def saved(row: Snapshot | None, _: Manifest) -> dict[str, Any]:
            kept = self._snapshots.find_diff(row) if row else None
            if kept is not None:
                return {**kept, "source": "snapshot", **_saved_as(row)}
            return self._diff_saved(session_id, self._snapshots.first(session_id) if row else None)

        return self._read(session_id, live, saved)

    def list_snapshots(self, session_id: str, limit: int = 100) -> list[Snapshot]:
        """Return the newest snapshots first."""
        query = Snapshot.select().where(Snapshot.session_id == session_id).order_by(Snapshot.id.desc())
        return list(query.limit(limit))

    def require_active(self, session_id: str) -> Executor:
        """Return the executor for a write; Conflict `worker_not_active` where the sandbox does not run."""
        executor = self._workers.connect(session_id, writing=True)
        if executor is None:
            raise not_active()
        return executor

    # --- inside ------------------------------------------------------------------------------------------------------------

    def _read(
        self, session_id: str, live: Callable[[Executor], T], saved: Callable[[Snapshot | None, Manifest], T]
    ) -> T:
        try:
            executor = self._workers.connect(session_id)
            if executor is not None:
                return live(executor)
        except ExecutorError as error:
            if error.kind == "http" and error.status is not None and error.status < 500:
                raise
        except Invalid as error:
            if error.code != "not_a_directory":
                raise
            raise NotFound("file") from error
        row = self._snapshots.newest(session_id)
        return saved(row, self._snapshots.manifest(row) if row else NOTHING)

    def _open(self, row: Snapshot | None, path: str) -> tuple[BinaryIO, Entry]:
        if row is None:
            raise NotFound("file")
        if not path:
            raise not_a_file()
        return self._snapshots.open_file(row, path)

    def _newest_manifest(self, session_id: str) -> Manifest | None:
        row = self._snapshots.newest(session_id)
        return self._snapshots.manifest(row).only(("workspace",)) if row else None

    def _snapshot_of(self, session_id: str, snapshot_id: str) -> Snapshot:
        row = self._snapshots.find(snapshot_id)
        if row is None or row.session_id != session_id:
            raise NotFound("snapshot")
        return row

    def _diff_saved(self, session_id: str, first: Snapshot | None) -> dict[str, Any]:
        newest = self._snapshots.newest(session_id)
        if newest is None:
            return {"baseline": None, "patch": "", "truncated": False, "files": [], "source": "none", **_saved_as(None)}
        old = self._snapshots.manifest(first) if first else NOTHING
        answer = snapshot_diff.diff(
            old,
            self._snapshots.manifest(newest),
            lambda entry: self._snapshots.read(cast(Snapshot, first), entry),
            lambda entry: self._snapshots.read(newest, entry),
        )
        baseline = self._baseline(session_id) if first is None or first.reason == "seed" else first.id
        return {"baseline": baseline, **answer, "source": "snapshot", **_saved_as(newest)}

    def _baseline(self, session_id: str) -> str | None:
        worker = worker_rows.find(session_id)
        return None if worker is None else worker.baseline


def _listing(path: str, entries: list[dict[str, Any]], row: Snapshot | None) -> dict[str, Any]:
    return {"path": path, "entries": entries, "source": "live", **_saved_as(row)}


def _saved_as(row: Snapshot | None) -> dict[str, Any]:
    """Say which snapshot something was read from, and when that was saved."""
    return {"snapshotId": row.id if row else None, "savedAt": row.created_at if row else None}


def _shown(entry: Any) -> dict[str, Any]:
    shown = {name: entry[name] for name in ("path", "type", "mode", "size", "target") if entry.get(name) is not None}
    return {"name": str(entry["path"]).rpartition("/")[2], **shown}


def _children(manifest: Manifest, path: str) -> list[Entry]:
    """Return the entries right below a folder, folders through links too. NotFound, Invalid `not_a_folder`."""
    if path:
        entry = manifest.find("workspace", path)
        if entry is None or entry.type != "dir":
            raise NotFound("folder")
        path = entry.path
    depth = path.count("/") + 1 if path else 0
    return [
        e for e in manifest.tree("workspace") if e.path.count("/") == depth and (not path or is_below(e.path, path))
    ]


def _below(manifest: Manifest, path: str) -> list[Entry]:
    below = [entry for entry in manifest.tree("workspace") if is_below(entry.path, path)]
    if path and not below:
        raise NotFound("file")
    return below


def _skip(stream: BinaryIO, count: int) -> None:
    while count > 0 and (chunk := stream.read(min(count, LARGEST_READ))):
        count -= len(chunk)


def _read_up_to(stream: BinaryIO, limit: int) -> bytes:
    parts = []
    while limit > 0 and (chunk := stream.read(limit)):
        parts.append(chunk)
        limit -= len(chunk)
    return b"".join(parts)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    with closing(stream):
        while chunk := stream.read(LARGEST_READ):
            yield chunk


def _begin_file(executor: WorkspaceHost, path: str) -> tuple[bytes, int] | None:
    """Return the first bytes of a live file and its size, None where the path is a folder."""
    if not path:
        return None
    try:
        first, facts = executor.read_file(path, offset=0, limit=LARGEST_READ)
    except (Invalid, ExecutorError) as error:
        if error.code == "not_a_file":
            return None
        raise
    return first, int(facts["size"])


def _rest(executor: WorkspaceHost, path: str, first: bytes, size: int) -> Iterator[bytes]:
    """Yield `size` bytes of a live file, whatever is appended meanwhile."""
    given, chunk = 0, first
    while chunk and given < size:
        yield chunk[: size - given]
        given += len(chunk)
        chunk = executor.read_file(path, offset=given, limit=LARGEST_READ)[0] if given < size else b""


def _file_download(path: str, size: int, chunks: Iterator[bytes]) -> Download:
    return Download(path.rpartition("/")[2], "application/octet-stream", size, chunks)


def _archive(session_id: str, path: str, chunks: Iterator[bytes]) -> Download:
    return Download(f"{path.rpartition('/')[2] or session_id}.tar", "application/x-tar", None, chunks)


def _bare(entries: Iterable[Entry]) -> Iterator[tuple[Entry, BinaryIO | None]]:
    for entry in entries:
        yield entry, None


def _live_members(executor: WorkspaceHost, entries: list[Entry]) -> Iterator[tuple[Entry, BinaryIO | None]]:
    """Folders, then files as their bytes come, then links. A file that was written since the scan is read as it is now."""
    yield from _bare(entry for entry in entries if entry.type == "dir")
    files: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.sha256 is not None:
            files.setdefault(entry.sha256, []).append(entry)
    wanted = Manifest({"workspace": tuple(entries)}, 0.0)
    for sha256, stream, _ in executor.content(wanted, list(files)):
        first, *others = files.pop(sha256)
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as copy:
            if others:
                _spool(stream, copy)
            for entry in (first, *others):
                copy.seek(0)
                yield entry, cast(BinaryIO, copy) if others else stream
    for entry in (entry for moved in files.values() for entry in moved):
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as copy:
            try:
                first_part, facts = executor.read_file(entry.path, offset=0, limit=LARGEST_READ)
            except NotFound:
                continue
            for chunk in _rest(executor, entry.path, first_part, int(facts["size"])):
                copy.write(chunk)
            size = copy.tell()
            copy.seek(0)
            yield replace(entry, size=size), cast(BinaryIO, copy)
    yield from _bare(entry for entry in entries if entry.type == "symlink")


def _spool(stream: BinaryIO, copy: Any) -> None:
    while chunk := stream.read(LARGEST_READ):
        copy.write(chunk)
