"""Uploaded git bundles: what seeds a new session from a repository that only the caller can read."""

from __future__ import annotations

import hashlib
import tempfile
from typing import BinaryIO

from app import db, ids
from app.domain import storage
from app.domain.permissions import Principal
from app.errors import AppError, Invalid
from app.models import Bundle
from app.ports import ObjectStore

HEADERS = (b"# v2 git bundle\n", b"# v3 git bundle\n")
CHUNK_BYTES = 1024 * 1024
IN_MEMORY_BYTES = 4 * 1024 * 1024


class BundleTooLarge(AppError):
    """The upload has more bytes than are taken."""

    status = 413
    title = "Too large"


def create(store: ObjectStore, principal: Principal, data: BinaryIO, *, max_bytes: int) -> Bundle:
    """Store an upload. Raises Invalid `bundle_invalid`, BundleTooLarge `body_too_large`; nothing is kept of a refused one.

    The bytes go to a temporary file first: the store's `put` is atomic and wants to know the size.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        digest, size = hashlib.sha256(), 0
        while chunk := data.read(CHUNK_BYTES):
            if size == 0 and not chunk.startswith(HEADERS):
                raise _invalid()
            size += len(chunk)
            if size > max_bytes:
                raise BundleTooLarge(
                    "body_too_large",
                    f"A bundle may have {max_bytes} bytes at most.",
                    remedy="Bundle fewer branches, or ask the operator to raise PADDOCK_MAX_BUNDLE_BYTES.",
                )
            digest.update(chunk)
            spool.write(chunk)
        if size == 0:
            raise _invalid()
        spool.seek(0)
        bundle_id = ids.new_id("bdl")
        key = storage.bundle_key(principal.tenant_id, bundle_id)
        store.put(key, spool, size)  # type: ignore[arg-type] # a spooled file is a BinaryIO in all but name
    return Bundle.create(
        id=bundle_id,
        tenant_id=principal.tenant_id,
        user_id=principal.user_id,
        object_key=key,
        size=size,
        sha256=digest.hexdigest(),
        created_at=db.now(),
    )


def _invalid() -> Invalid:
    return Invalid(
        "bundle_invalid",
        "The upload does not begin like a git bundle.",
        remedy="Make it with `git bundle create repo.bundle HEAD --branches`.",
    )
