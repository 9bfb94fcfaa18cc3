"""Where things lie in the object store: the one place that computes keys (SPEC §7, `workspaceS3Prefix`)."""

from __future__ import annotations

import re

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def require_key(key: str) -> None:
    """Raise ValueError unless every part of the key is plain: no store is ever asked for a path that leads elsewhere."""
    if not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ValueError(f"not an object key: {key!r}")


def prefix(tenant_id: str, session_id: str) -> str:
    """Return `{tenant}/{session}`, below which everything of a session lies."""
    return f"{tenant_id}/{session_id}"


def blobs_prefix(tenant_id: str, session_id: str) -> str:
    return f"{prefix(tenant_id, session_id)}/blobs/"


def blob_key(tenant_id: str, session_id: str, sha256: str) -> str:
    """Return the key of bytes by their hash."""
    return f"{blobs_prefix(tenant_id, session_id)}{sha256}"


def manifest_key(tenant_id: str, session_id: str, snapshot_id: str) -> str:
    return f"{prefix(tenant_id, session_id)}/snapshots/{snapshot_id}.json"


def diff_key(tenant_id: str, session_id: str, snapshot_id: str) -> str:
    """Return the key of the diff that the sandbox gave when it was stopped with this snapshot."""
    return f"{prefix(tenant_id, session_id)}/snapshots/{snapshot_id}.diff.json"


def bundle_key(tenant_id: str, bundle_id: str) -> str:
    """Return the key of an uploaded git bundle; it is no session's, because it comes before one."""
    return f"{tenant_id}/bundles/{bundle_id}"
