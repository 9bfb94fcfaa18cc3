"""The files of a session: read from its sandbox while that runs, else from its newest snapshot. Nothing here starts a sandbox."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from urllib.parse import quote

from flask import Response

from app.domain.permissions import Permission
from app.models import ChatSession
from app.services import run_lists
from app.services.workspaces import Download
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import PageOf
from web.schemas.workspaces import (
    Diff,
    DiffQuery,
    DownloadQuery,
    FileQuery,
    PathQuery,
    SnapshotsQuery,
    SnapshotView,
    Tree,
    snapshot_view,
)

routes = Routes("workspace")
BELOW = "/api/session-workers/<session_id>/workspace"
BYTES = "application/octet-stream"
GZIP = 16 + zlib.MAX_WBITS


@routes.get(f"{BELOW}/tree", Permission.WORKSPACE_READ)
def get_tree(session: ChatSession, parts: Parts, query: PathQuery) -> Tree:
    """List one level of a folder."""
    return Tree.model_validate(parts.workspaces.tree(session.id, query.path))


@routes.get(f"{BELOW}/file", Permission.WORKSPACE_READ, produces=BYTES)
def get_file(session: ChatSession, parts: Parts, query: FileQuery) -> Response:
    """Read part of a file as bytes. X-Size tells the size of the whole."""
    part = parts.workspaces.file(session.id, query.path, offset=query.offset, limit=query.limit)
    headers = {
        "X-Size": str(part.size),
        "X-Offset": str(part.offset),
        "X-Mode": f"{part.mode & 0o7777:04o}",
        "X-Source": part.source,
        "Content-Disposition": attachment(part.path.rpartition("/")[2]),
    }
    return Response(part.data, headers=headers, content_type=BYTES)


@routes.get(f"{BELOW}/download", Permission.WORKSPACE_READ, produces=BYTES)
def download(session: ChatSession, parts: Parts, query: DownloadQuery) -> Response:
    """Download a file, or a folder (the whole workspace without `path`) as a tar archive."""
    found = parts.workspaces.download(session.id, query.path)
    if found.size is not None or query.compression == "none":
        return _sent(found, found.filename, found.media_type, found.chunks)
    return _sent(found, f"{found.filename}.gz", "application/gzip", gzipped(found.chunks))


@routes.get(f"{BELOW}/diff", Permission.WORKSPACE_READ)
def get_diff(session: ChatSession, parts: Parts, query: DiffQuery) -> Diff | Response:
    """Read what changed since the session's start, or since a snapshot; as a patch too."""
    diff = Diff.model_validate(parts.workspaces.diff(session.id, query.against))
    if query.format == "json":
        return diff
    return Response(diff.patch, content_type="text/x-diff; charset=utf-8")


@routes.get(f"{BELOW}/snapshots", Permission.WORKSPACE_READ)
def list_snapshots(session: ChatSession, query: SnapshotsQuery) -> PageOf[SnapshotView]:
    """List the saved states, the newest first."""
    page = run_lists.list_snapshots(session.id, cursor=query.cursor, limit=query.limit)
    return PageOf[SnapshotView](items=[snapshot_view(row) for row in page.items], next_cursor=page.next_cursor)


def gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in gzip's form, as they come."""
    packer = zlib.compressobj(wbits=GZIP)
    for chunk in chunks:
        packed = packer.compress(chunk)
        if packed:
            yield packed
    yield packer.flush()


def attachment(filename: str) -> str:
    """Return the header that makes a browser save and never show a file, whatever its name holds."""
    plain = "".join(
        letter if (letter.isalnum() and letter.isascii()) or letter in "._-" else "_" for letter in filename
    )
    return f"attachment; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _sent(found: Download, filename: str, media_type: str, chunks: Iterator[bytes]) -> Response:
    headers = {"Content-Disposition": attachment(filename)}
    if found.size is not None:
        headers["Content-Length"] = str(found.size)
    response = Response(chunks, headers=headers, content_type=media_type)
    close = getattr(found.chunks, "close", None)
    if close is not None:
        response.call_on_close(close)
    return response
