"""Where things lie in the object store: the one place that computes keys (SPEC §7, `workspaceS3Prefix`)."""

from __future__ import annotations


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
