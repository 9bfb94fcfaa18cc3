"""What is too long for an event: the whole goes to the object store, the event keeps the beginning and names the blob."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from app.domain import storage
from app.errors import Unavailable
from app.log import logger
from app.models import AgentRun
from app.ports import ObjectStore

LONGEST_OUTPUT = 32 * 1024
"""Bytes of a tool's output that an event carries; SPEC §3."""


class RunBlobs:
    """The blobs of one run, by content, beside those of its session's snapshots."""

    def __init__(self, store: ObjectStore, run: AgentRun) -> None:
        self._store, self._tenant_id, self._session_id = store, run.tenant_id, run.session_id

    def shorten(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of a `tool.result` with its output cut to what an event carries and `blobId` for the rest. With the
        store down there is no `blobId` but `truncated`: the rest is lost, and says so (ARCHITECTURE decision 10)."""
        output = result.get("output")
        whole = output.encode("utf-8", "replace") if isinstance(output, str) else b""
        if len(whole) <= LONGEST_OUTPUT:
            return result
        shown = {**result, "output": whole[:LONGEST_OUTPUT].decode("utf-8", "ignore")}
        blob_id = hashlib.sha256(whole).hexdigest()
        try:
            self._store.put(self._key(blob_id), io.BytesIO(whole), len(whole))
        except (Unavailable, OSError) as error:
            logger.warning("blob not stored", error=str(error))
            return {**shown, "truncated": True}
        return {**shown, "blobId": blob_id}

    def open(self, blob_id: str) -> BinaryIO:
        """Open a blob for reading; NotFound where there is none."""
        return self._store.get(self._key(blob_id))

    def _key(self, blob_id: str) -> str:
        return storage.blob_key(self._tenant_id, self._session_id, blob_id)
