"""The files of a session: read from its sandbox while that runs, else from its newest snapshot. Nothing here starts a sandbox."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote

from flask import Response

from app.domain import media
from app.domain.permissions import Permission
from app.errors import Conflict
from app.models import ChatSession
from app.services import patches, run_lists
from app.services.workspaces import Download, FilePart
from web.parts import Parts
from web.routing import Routes
from web.schemas.common import PageOf, when
from web.schemas.workspaces import (
    Diff,
    DiffQuery,
    DownloadQuery,
    FileQuery,
    PathQuery,
    SnapshotsQuery,
    SnapshotView,
    Tree,
    diff_view,
    snapshot_view,
    tree_view,
)

routes = Routes("workspace")
BELOW = "/api/session-workers/<session_id>/workspace"
BYTES = "application/octet-stream"
GZIP = 16 + zlib.MAX_WBITS


@routes.get(f"{BELOW}/tree", Permission.WORKSPACE_READ)
def get_tree(session: ChatSession, parts: Parts, query: PathQuery) -> Tree:
    """List one level of a folder."""
    return tree_view(parts.workspaces.tree(session.id, query.path))


@routes.get(f"{BELOW}/file", Permission.WORKSPACE_READ, produces=BYTES)
def get_file(session: ChatSession, parts: Parts, query: FileQuery) -> Response:
    """Read part of a file as bytes. X-Size tells the size of the whole, X-Content whether it reads as `text` or is `binary`, X-Source,
    X-Snapshot-Id and X-Saved-At where it was read."""
    part = parts.workspaces.file(session.id, query.path, offset=query.offset, limit=query.limit)
    headers = {
        "X-Size": str(part.size),
        "X-Offset": str(part.offset),
        "X-Mode": f"{part.mode & 0o7777:04o}",
        "X-Content": "text" if media.is_text(part.data) else "binary",
        **_origin(part),
        "Content-Disposition": attachment(part.path.rpartition("/")[2]),
    }
    return Response(part.data, headers=headers, content_type=BYTES)


@routes.get(f"{BELOW}/download", Permission.WORKSPACE_READ, produces=BYTES)
def download(session: ChatSession, parts: Parts, query: DownloadQuery) -> Response:
    """Download a file, or a folder (the whole workspace without `path`) as a tar archive."""
    found = parts.workspaces.download(session.id, query.path)
    if found.size is not None and query.inline:
        return _shown(found)
    if found.size is not None or query.compression == "none":
        return _sent(found, found.filename, found.media_type, found.chunks)
    return _sent(found, f"{found.filename}.gz", "application/gzip", gzipped(found.chunks))


@routes.get(f"{BELOW}/diff", Permission.WORKSPACE_READ, answers=Diff, produces="text/x-diff")
def get_diff(session: ChatSession, parts: Parts, query: DiffQuery) -> Diff | Response:
    """Read what changed since the session's start, or since a snapshot: as one patch, or file by file."""
    found = parts.workspaces.diff(session.id, query.against)
    if query.format == "json":
        return diff_view(found)
    if query.format == "files":
        return diff_view({**found, "patch": None, "files": patches.by_file(found)})
    if found["truncated"]:  # half a patch would be applied, or refused with words about its last line
        raise Conflict("patch_too_large", "The change is larger than a patch may be here.")
    return Response(found["patch"], headers={"X-Source": found["source"]}, content_type="text/x-diff; charset=utf-8")


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


def attachment(filename: str, how: str = "attachment") -> str:
    """Return the header that makes a browser save and never show a file, whatever its name holds."""
    plain = "".join(
        letter if (letter.isalnum() and letter.isascii()) or letter in "._-" else "_" for letter in filename
    )
    return f"{how}; filename=\"{plain or 'file'}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _shown(found: Download) -> Response:
    """Send a file as what its first bytes say it is, where that may be shown; as a download otherwise. What is sent has no name of a
    page, no scripts (the policy of all answers is `sandbox`), and is not guessed at (`nosniff`)."""
    first = next(found.chunks, b"")
    kind = media.shown_type(first)
    rest = chain([first], found.chunks)
    response = _sent(found, found.filename, kind or found.media_type, rest)
    if kind is not None:
        response.headers["Content-Disposition"] = attachment(found.filename, "inline")
    return response


def _origin(found: FilePart | Download) -> dict[str, str]:
    """Say where files were read: in the running sandbox, or in which snapshot."""
    row = found.snapshot
    saved = {"X-Snapshot-Id": row.id, "X-Saved-At": when(row.created_at) or ""} if row is not None else {}
    return {"X-Source": found.source, **saved}


def _sent(found: Download, filename: str, media_type: str, chunks: Iterator[bytes]) -> Response:
    headers = {"Content-Disposition": attachment(filename), **_origin(found)}
    if found.size is not None:
        headers["Content-Length"] = str(found.size)
    response = Response(chunks, headers=headers, content_type=media_type)
    close = getattr(found.chunks, "close", None)
    if close is not None:
        response.call_on_close(close)
    return response
