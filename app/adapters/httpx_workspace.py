"""The part of the executor's client that serves files (`ports.WorkspaceHost`)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import orjson

from app.adapters.httpx_frames import FrameReader
from app.adapters.httpx_transport import LONG_SECONDS, Call, Transport, as_app_error, json_body
from app.domain.manifest import RACY_SECONDS, WORTHLESS_AGENT_DATA, Entry, Manifest, Root
from app.domain.turn import Probe, ProbeResult
from app.ports import CommandResult, ExecutorError

_CHUNK = 256 * 1024
_SPOOL = 1024 * 1024
_BATCH = 4 * 1024 * 1024
_ITEMS = 2000


class HttpxWorkspace:
    """Implements `ports.WorkspaceHost`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    # --- before a run ------------------------------------------------------------------------------------------------------

    def link_agent_data(self, probes: Sequence[Probe]) -> list[ProbeResult]:
        body = {"probes": [{"glob": probe.glob, "contains": probe.contains or ""} for probe in probes]}
        answer = self._ask("link-agent-data", "workspace.link", body)
        return [
            ProbeResult(found["exists"], found["contains"] and probe.contains is not None)
            for probe, found in zip(probes, answer["probes"], strict=True)
        ]

    def validate(self, required_paths: Sequence[str]) -> list[str]:
        answer = self._ask("validate", "workspace.validate", {"requiredPaths": list(required_paths)})
        return list(answer["missing"])

    # --- snapshots ---------------------------------------------------------------------------------------------------------

    def scan(self, roots: Sequence[Root], *, reason: str, known: Manifest | None = None) -> Manifest:
        body = {
            "roots": list(roots),
            "known": {root: _known(known.tree(root)) for root in roots} if known is not None else {},
            "racyAfterNs": (known.scanned_at - RACY_SECONDS) * 1e9 if known is not None else 0.0,
            "leaveOut": {"agent": list(WORTHLESS_AGENT_DATA)},
        }
        answer = self._ask("sync", f"workspace.sync.{reason}", body)
        if answer["error"] is not None:
            raise ExecutorError(
                "http", "/workspace/sync", 1, 1, status=500, code="scan_failed", message=answer["error"]
            )
        trees: dict[Root, tuple[Entry, ...]] = {}
        for root in roots:
            entries = (Entry.from_json(entry) for entry in answer["trees"][root])
            trees[root] = tuple(sorted(entries, key=lambda entry: entry.path))
        return Manifest(trees, answer["scannedAt"], answer["fuzzy"])

    def content(self, manifest: Manifest, wanted: Iterable[str]) -> Iterator[tuple[str, BinaryIO, int]]:
        left = set(wanted)
        places: dict[str, list[dict[str, Any]]] = {}
        for root, entry in manifest.entries():
            if entry.sha256 in left:
                item = {"root": root, "path": entry.path, "sha256": entry.sha256, "size": entry.size}
                places.setdefault(str(entry.sha256), []).append(item)
        while items := [places[sha256].pop() for sha256 in sorted(left) if places.get(sha256)]:
            for begin in range(0, len(items), _ITEMS):
                for sha256, stream, size in self._content(items[begin : begin + _ITEMS]):
                    left.discard(sha256)
                    yield sha256, stream, size

    def _content(self, items: list[dict[str, Any]]) -> Iterator[tuple[str, BinaryIO, int]]:
        body = json_body({"items": items})
        call = Call("POST", "/workspace/content", "workspace.content", content=body, timeout=LONG_SECONDS)
        with self._transport.stream(call) as response:
            reader = FrameReader(response.iter_raw())
            while (header := reader.header()) is not None:
                with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
                    digest = hashlib.sha256()
                    for part in reader.body(header["size"]):
                        digest.update(part)
                        spool.write(part)
                    if header["status"] == "file" and digest.hexdigest() == header["sha256"]:
                        spool.seek(0)
                        yield header["sha256"], cast(BinaryIO, spool), header["size"]

    def stage(self, blobs: Iterable[tuple[str, BinaryIO, int]]) -> int:
        staged, batch = 0, bytearray()
        for sha256, stream, size in blobs:
            if size > _BATCH:
                staged += self._stage_large(sha256, stream, size)
                continue
            batch += _head(sha256, size) + _exactly(stream, size) + b"\n"
            if len(batch) > _BATCH:
                staged, batch = staged + self._stage(bytes(batch)), bytearray()
        return staged + (self._stage(bytes(batch)) if batch else 0)

    def _stage(self, frames: bytes) -> int:
        call = Call("POST", "/workspace/stage", "workspace.stage", content=lambda: frames, timeout=LONG_SECONDS)
        return int(self._transport.json(call)["staged"])

    def _stage_large(self, sha256: str, stream: BinaryIO, size: int) -> int:
        begin = stream.tell() if stream.seekable() else None

        def frame() -> Iterator[bytes]:
            if begin is not None:
                stream.seek(begin)
            yield _head(sha256, size)
            yield from _parts(stream)
            yield b"\n"

        once = begin is None  # what can be read only once can be sent only once
        call = Call("POST", "/workspace/stage", "workspace.stage", content=frame, timeout=LONG_SECONDS, once=once)
        return int(self._transport.json(call)["staged"])

    def restore(self, manifest: Manifest, *, clean: bool) -> list[str]:
        roots = {root: [entry.as_json() for entry in entries] for root, entries in manifest.trees.items()}
        return list(self._ask("restore", "workspace.restore", {"roots": roots, "clean": clean})["missing"])

    def freeze(self, frozen: bool) -> int:
        return int(self._ask("freeze", "workspace.freeze", {"frozen": frozen})["processes"])

    def halt(self) -> int:
        return int(self._ask("halt", "workspace.halt", {})["processes"])

    def seed(
        self, *, bundle: BinaryIO | None = None, url: str | None = None, ref: str | None = None
    ) -> Mapping[str, str]:
        """Raises ExecutorError 422 `repository_unusable` with git's reason, 409 `workspace_not_empty`."""
        if bundle is None:
            return dict(self._ask("seed", "workspace.seed", {"url": url, "ref": ref}))
        source = bundle
        call = Call(
            "POST",
            "/workspace/seed",
            "workspace.seed",
            params={"ref": ref} if ref else {},
            content=lambda: _parts(source),
            timeout=LONG_SECONDS,
            once=True,
            headers={"content-type": "application/octet-stream"},
        )
        return dict(self._transport.json(call))

    # --- files -------------------------------------------------------------------------------------------------------------

    def tree(self, root: Root, path: str) -> list[Mapping[str, Any]]:
        """Return one level, sorted: `{path, type (file, dir, symlink, special), mode, size, mtime, target?}`, paths from the root."""
        params = {"root": root, "path": path}
        return list(self._file_call(Call("GET", "/workspace/tree", "workspace.tree", params=params))["entries"])

    def read_file(self, path: str, *, offset: int, limit: int) -> tuple[bytes, Mapping[str, Any]]:
        params = {"path": path, "offset": str(offset), "limit": str(limit)}
        try:
            response = self._transport.bytes(Call("GET", "/workspace/file", "workspace.read", params=params))
        except ExecutorError as error:
            raise as_app_error(error, "file") from error
        return response.content, {"size": int(response.headers["x-size"]), "mode": int(response.headers["x-mode"])}

    def write_file(self, path: str, data: bytes) -> None:
        call = Call("PUT", "/workspace/file", "workspace.write", params={"path": path}, content=lambda: data)
        self._file_call(call)

    def make_folder(self, path: str) -> None:
        self._change("mkdir", {"path": path})

    def rename(self, old: str, new: str) -> None:
        self._change("rename", {"from": old, "to": new})

    def delete(self, path: str) -> None:
        self._change("delete", {"path": path})

    def diff(self, baseline: str | None = None) -> Mapping[str, Any]:
        """Return `{baseline, patch, truncated, files: [{path, status, additions, deletions}]}` against the seed's commit (`baseline`
        where the sandbox was made anew since), or against nothing."""
        params = {"baseline": baseline} if baseline else {}
        facts: Mapping[str, Any] = self._file_call(
            Call("GET", "/workspace/diff", "workspace.diff", params=params, timeout=LONG_SECONDS)
        )
        return facts

    def execute(self, command: str, *, cwd: str, timeout_ms: int) -> CommandResult:
        body = json_body({"command": command, "cwd": cwd, "timeoutMs": timeout_ms})
        seconds = timeout_ms / 1000 + 30
        answer = self._file_call(Call("POST", "/tty/exec", "tty.exec", content=body, timeout=seconds, once=True))
        return CommandResult(answer["stdout"], answer["stderr"], answer["exitCode"], answer["timedOut"])

    def _ask(self, name: str, operation: str, body: object) -> Any:
        call = Call("POST", f"/workspace/{name}", operation, content=json_body(body), timeout=LONG_SECONDS)
        return self._transport.json(call)

    def _change(self, name: str, body: object) -> None:
        path = f"/workspace/{name}"
        self._file_call(Call("POST", path, f"workspace.{name}", content=json_body(body), once=True))

    def _file_call(self, call: Call) -> Any:
        try:
            return self._transport.json(call)
        except ExecutorError as error:
            raise as_app_error(error, "file") from error


def _known(entries: Iterable[Entry]) -> list[list[Any]]:
    return [
        [entry.path, *entry.stamp, entry.sha256]
        for entry in entries
        if entry.stamp is not None and entry.sha256 is not None and not entry.unstable
    ]


def _head(sha256: str, size: int) -> bytes:
    return orjson.dumps({"sha256": sha256, "size": size}) + b"\n"


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = b"".join(_parts(stream))
    if len(data) != size:
        raise ValueError(f"a blob of {size} bytes came with {len(data)}")
    return data


def _parts(stream: BinaryIO) -> Iterator[bytes]:
    while part := stream.read(_CHUNK):
        yield part
