"""Snapshots: saving what a sandbox holds to the object store, by content, and giving it back. ARCHITECTURE decision 10.

Object-store and sandbox calls happen outside any transaction; blobs come first, then the manifest, then the row that names
it, so a row never names what is not there. The life cycle around it is in `session_workers`.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from app import ids
from app.domain import storage
from app.domain.manifest import NOTHING, ROOTS, Entry, Manifest, Root
from app.domain.paths import workspace_path
from app.errors import AppError, Conflict, Invalid, NotFound, Unavailable
from app.log import logger
from app.models import SessionWorker, Snapshot
from app.ports import ObjectStore, WorkspaceHost
from app.services import worker_rows
from app.services.blob_uploads import BlobUploads
from app.services.tar_stream import tar_of
from app.services.verified_stream import VerifiedStream

READS_OF_A_MOVING_FILE = 3
ROUNDS_OF_A_RESTORE = 3


@dataclass(frozen=True, slots=True)
class Order:
    """How to save. `frozen`: nothing but the executor runs, so the snapshot may open a gate. `guard` is asked before each effect
    and raises LeaseLost. `aside`: keep it without making it the newest."""

    reason: str
    run_id: str | None = None
    roots: tuple[Root, ...] = ROOTS
    frozen: bool = False
    guard: Callable[[], None] = lambda: None
    aside: bool = False


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save came to. `manifest` has the stamps of this scan; with nothing changed `snapshot_id` is the one before.
    `files_changed` counts the workspace only: with 0 there may be a new snapshot, of the agent's own state."""

    snapshot_id: str
    files_changed: int
    bytes_sent: int
    seconds: float
    manifest: Manifest
    fuzzy: bool


class Snapshots:
    """The snapshots of all sessions in one object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def store(self) -> ObjectStore:
        return self._store

    # --- saving ----------------------------------------------------------------------------------------------------------

    def save(self, host: WorkspaceHost, worker: SessionWorker, order: Order) -> Saved:
        """Save what is in the sandbox now and note it as the worker's newest snapshot; roots that the order leaves out are carried
        over. Raises Unavailable (store), Conflict `workspace_unstable` (frozen, but written to), ExecutorError, LeaseLost."""
        return _Save(self._store, self, host, worker, order).run()

    # --- restoring -------------------------------------------------------------------------------------------------------

    def restore(self, host: WorkspaceHost, row: Snapshot, guard: Callable[[], None] = lambda: None) -> Manifest:
        """Make the sandbox's trees equal to the snapshot. Conflict `snapshot_damaged` where the store's bytes are not those saved.
        `guard` is asked before each file's content, and may raise to give the restore up."""
        manifest = self.manifest(row)
        sizes = manifest.sizes()
        for _ in range(ROUNDS_OF_A_RESTORE):
            guard()
            missing = host.restore(manifest, clean=True)
            if not missing:
                return manifest
            wanted = [sha256 for sha256 in dict.fromkeys(missing) if sha256 in sizes]
            host.stage(self._blobs(row, wanted, sizes, guard))
        raise Unavailable(
            "restore_incomplete",
            "The sandbox did not take all of the snapshot's content.",
            remedy="Look at the free space of the sandbox, then try again.",
        )

    def _blobs(
        self, row: Snapshot, wanted: Iterable[str], sizes: dict[str, int], guard: Callable[[], None]
    ) -> Iterator[tuple[str, BinaryIO, int]]:
        for sha256 in wanted:
            guard()
            with closing(self._open_blob(row, sha256, sizes[sha256])) as stream:
                yield sha256, stream, sizes[sha256]

    # --- reading ---------------------------------------------------------------------------------------------------------

    def newest(self, session_id: str) -> Snapshot | None:
        worker = worker_rows.find(session_id)
        return None if worker is None or worker.snapshot_id is None else self.find(worker.snapshot_id)

    def find(self, snapshot_id: str) -> Snapshot | None:
        found: Snapshot | None = Snapshot.get_or_none(Snapshot.id == snapshot_id)
        return found

    def first(self, session_id: str) -> Snapshot | None:
        """Return what the session was seeded with; None where it began empty."""
        seeds = Snapshot.select().where(Snapshot.session_id == session_id, Snapshot.reason == "seed")
        found: Snapshot | None = seeds.order_by(Snapshot.id).first()
        return found

    def manifest(self, row: Snapshot) -> Manifest:
        """Read and check a snapshot's manifest. Conflict `snapshot_damaged`, Invalid `manifest_unsafe`."""
        try:
            with closing(self._store.get(row.object_key)) as stream:
                manifest = Manifest.from_json(json.loads(stream.read()))
        except (NotFound, ValueError, KeyError, TypeError) as error:
            raise _damaged(row.id, "its manifest is missing or unreadable") from error
        manifest.check()
        return manifest

    def open_file(self, row: Snapshot, path: str) -> tuple[BinaryIO, Entry]:
        """Open a workspace file of a snapshot; symlinks are followed inside it. NotFound, Invalid `path_outside` or `not_a_file`."""
        entry = self.manifest(row).find("workspace", workspace_path(path))
        if entry is None:
            raise NotFound("file")
        if entry.sha256 is None:
            raise not_a_file()
        return self._open_blob(row, entry.sha256, entry.size), entry

    def read(self, row: Snapshot, entry: Entry) -> bytes:
        """Return the whole of a small file."""
        with closing(self._open_blob(row, cast(str, entry.sha256), entry.size)) as stream:
            return stream.read()

    def tar(self, row: Snapshot, below: str = "") -> Iterator[bytes]:
        """Yield the workspace (or one folder of it) as a tar archive."""
        entries = [entry for entry in self.manifest(row).tree("workspace") if is_below(entry.path, below)]
        return tar_of(self._members(row, entries))

    def keep_diff(self, worker: SessionWorker, snapshot_id: str, answer: Mapping[str, Any]) -> None:
        """Keep what a sandbox said of its changes when this snapshot was all it held."""
        data = json.dumps(dict(answer)).encode()
        key = storage.diff_key(worker.tenant_id, worker.session_id, snapshot_id)
        self._store.put(key, io.BytesIO(data), len(data))

    def find_diff(self, row: Snapshot) -> dict[str, Any] | None:
        """Return what was kept; None where nothing was."""
        try:
            with closing(self._store.get(storage.diff_key(row.tenant_id, row.session_id, row.id))) as stream:
                kept: dict[str, Any] = json.loads(stream.read())
        except (NotFound, ValueError):
            return None
        return kept

    def missing_objects(self, row: Snapshot) -> list[str]:
        """Return which hashes of a snapshot the store does not hold."""
        return sorted(self.manifest(row).hashes() - self.stored_hashes(row.tenant_id, row.session_id))

    def stored_hashes(self, tenant_id: str, session_id: str) -> set[str]:
        blobs = storage.blobs_prefix(tenant_id, session_id)
        return {key.removeprefix(blobs) for key in self._store.list_keys(blobs)}

    def _members(self, row: Snapshot, entries: Iterable[Entry]) -> Iterator[tuple[Entry, BinaryIO | None]]:
        for entry in entries:
            if entry.sha256 is None:
                yield entry, None
                continue
            with closing(self._open_blob(row, entry.sha256, entry.size)) as stream:
                yield entry, stream

    def _open_blob(self, row: Snapshot, sha256: str, size: int) -> BinaryIO:
        try:
            source = self._store.get(storage.blob_key(row.tenant_id, row.session_id, sha256))
        except NotFound as error:
            raise _damaged(row.id, f"content {sha256[:12]} is missing") from error
        damaged = _damaged(row.id, f"content {sha256[:12]} is not what was saved")
        return cast(BinaryIO, VerifiedStream(source, sha256, size, lambda: damaged))


class _Save:
    """One save from scan to row."""

    def __init__(
        self, store: ObjectStore, snapshots: Snapshots, host: WorkspaceHost, worker: SessionWorker, order: Order
    ) -> None:
        self._store, self._snapshots, self._host, self._worker, self._order = store, snapshots, host, worker, order
        self._started = time.monotonic()
        self._parent, self._before = self._look_up_parent()
        self._sent = 0

    def run(self) -> Saved:
        scan = self._collect()
        manifest = replace(scan, trees=self._whole(scan), fuzzy=not self._order.frozen or scan.fuzzy)
        if self._parent is not None and self._needs_no_row(manifest):
            return self._saved(self._parent.id, 0, manifest)
        snapshot_id = ids.new_id("snp")
        changed = manifest.files_changed_since(self._before)
        self._write(snapshot_id, manifest, changed)
        return self._saved(snapshot_id, changed, manifest)

    def _look_up_parent(self) -> tuple[Snapshot | None, Manifest]:
        parent = self._snapshots.find(self._worker.snapshot_id) if self._worker.snapshot_id else None
        if parent is None:
            return None, NOTHING
        try:
            return parent, self._snapshots.manifest(parent)
        except (Conflict, Invalid) as error:
            logger.error(
                "snapshot is damaged, saving everything",
                session_id=parent.session_id,
                snapshot_id=parent.id,
                error=str(error),
            )
            return None, NOTHING

    def _collect(self) -> Manifest:
        """Scan and store until all that the scan names is in the store."""
        have = self._stored_before()
        known = self._before.only(self._order.roots)
        for _ in range(READS_OF_A_MOVING_FILE):
            scan = self._host.scan(self._order.roots, reason=self._order.reason, known=known).worth_keeping()
            scan.check()
            have |= self._store_content(scan, have)
            if scan.hashes() <= have:
                return scan
            known = scan
        if self._order.frozen:
            raise unstable()
        return self._settle(scan, have)

    def _stored_before(self) -> set[str]:
        """A save that opens a gate looks at what the store has; any other trusts the snapshot before."""
        if self._order.frozen:
            return self._snapshots.stored_hashes(self._worker.tenant_id, self._worker.session_id)
        return self._before.hashes()

    def _store_content(self, scan: Manifest, have: set[str]) -> set[str]:
        """Store what is not stored yet; return the hashes that are now."""
        sizes = scan.sizes()
        stored = {sha256 for sha256 in scan.hashes() - have if self._store.exists(self._key(sha256))}
        wanted = scan.hashes() - have - stored
        if not wanted:
            return stored
        with BlobUploads(self._store) as uploads:
            for sha256, stream, size in self._host.content(scan, wanted):
                if sha256 not in wanted or size != sizes[sha256]:
                    raise _not_as_scanned()
                self._order.guard()
                checked = VerifiedStream(stream, sha256, size, _not_as_scanned, owned=False)
                uploads.put(self._key(sha256), cast(BinaryIO, checked), size)
                self._sent += size
                stored.add(sha256)
        return stored

    def _settle(self, scan: Manifest, have: set[str]) -> Manifest:
        """A file that never stood still is kept as the snapshot before had it, or left out of this one; it is marked either way."""
        old = {(root, entry.path): entry for root, entry in self._before.entries()}
        trees: dict[Root, tuple[Entry, ...]] = {}
        for root, entries in scan.trees.items():
            kept = []
            for entry in entries:
                if entry.sha256 is None or entry.sha256 in have:
                    kept.append(entry)
                    continue
                before = old.get((root, entry.path))
                logger.warning("file never stood still", session_id=self._worker.session_id, path=entry.path, root=root)
                if before is not None and before.sha256 in have:
                    kept.append(replace(before, stamp=None, unstable=True))
            trees[root] = tuple(kept)
        return replace(scan, trees=trees)

    def _whole(self, scan: Manifest) -> dict[Root, tuple[Entry, ...]]:
        return {root: (scan if root in self._order.roots else self._before).tree(root) for root in ROOTS}

    def _needs_no_row(self, manifest: Manifest) -> bool:
        """A snapshot that opens a gate must be one that was taken while nothing ran."""
        if self._order.aside or (self._order.frozen and self._parent_is_fuzzy()):
            return False
        return manifest.same_content(self._before)

    def _parent_is_fuzzy(self) -> bool:
        return self._parent is not None and bool(self._parent.fuzzy)

    def _write(self, snapshot_id: str, manifest: Manifest, changed: int) -> None:
        worker, order = self._worker, self._order
        key = storage.manifest_key(worker.tenant_id, worker.session_id, snapshot_id)
        data = json.dumps(manifest.without_racy_stamps().as_json(), separators=(",", ":")).encode()
        order.guard()
        self._store.put(key, io.BytesIO(data), len(data))
        files = [entry for _, entry in manifest.entries() if entry.type == "file"]
        row: dict[str, Any] = {
            "id": snapshot_id,
            "tenant_id": worker.tenant_id,
            "session_id": worker.session_id,
            "run_id": order.run_id,
            "parent_id": worker.snapshot_id,
            "generation": worker.generation,
            "reason": order.reason,
            "fuzzy": int(manifest.fuzzy),
            "object_key": key,
            "files": len(files),
            "bytes": sum(entry.size for entry in files),
            "bytes_sent": self._sent,
            "files_changed": changed,
            "seconds": self._seconds(),
        }
        order.guard()
        if order.aside:
            worker_rows.record_aside(row)
        else:
            worker_rows.record_snapshot(worker, row)

    def _key(self, sha256: str) -> str:
        return storage.blob_key(self._worker.tenant_id, self._worker.session_id, sha256)

    def _saved(self, snapshot_id: str, changed: int, manifest: Manifest) -> Saved:
        return Saved(snapshot_id, changed, self._sent, self._seconds(), manifest, manifest.fuzzy)

    def _seconds(self) -> float:
        return round(time.monotonic() - self._started, 3)


def is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")


def not_a_file() -> Invalid:
    return Invalid("not_a_file", "The path is a folder.", remedy="Ask for the tree, or download the folder.")


def unstable() -> Conflict:
    return Conflict(
        "workspace_unstable",
        "The workspace is being written to although everything in its sandbox was stopped.",
        remedy="Look for a process outside of the sandbox that writes there; then try again.",
    )


def _damaged(snapshot_id: str, what: str) -> AppError:
    return Conflict(
        "snapshot_damaged",
        f"Snapshot {snapshot_id} is damaged: {what}.",
        remedy="Bring the object store back from a backup, or restore an older snapshot.",
    )


def _not_as_scanned() -> AppError:
    return Unavailable(
        "content_not_as_scanned", "The sandbox sent other bytes than it had scanned.", remedy="Try the sync again."
    )
