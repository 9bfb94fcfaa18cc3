"""What is too long for an event: the whole goes to the object store, the event keeps the beginning and names the blob."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import peewee

from app.domain import storage
from app.domain.events import EventType
from app.errors import Conflict, Unavailable
from app.log import logger
from app.models import AgentRun, RunEvent
from app.ports import ObjectStore
from app.services.log_reader import LogReader

LONGEST_OUTPUT = 32 * 1024
"""Bytes of a tool's output that an event carries; SPEC §3."""

_BLOB_ID = re.compile(r"[0-9a-f]{64}")
_NOT_SAVED_YET = 1000
"""Events that may be in Redis before they are in SQL."""


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

    def read(self, blob_id: str) -> bytes:
        """Return a blob's bytes. NotFound where there is none, Conflict `blob_damaged` where the store's bytes are others."""
        with closing(self._store.get(self._key(blob_id))) as stream:
            data = stream.read()
        if hashlib.sha256(data).hexdigest() != blob_id:
            raise Conflict("blob_damaged", f"What the store has as {blob_id[:12]} is not what was saved.")
        return data

    def _key(self, blob_id: str) -> str:
        return storage.blob_key(self._tenant_id, self._session_id, blob_id)


def names_blob(run: AgentRun, blob_id: str, reader: LogReader) -> bool:
    """True where an event of the run names this blob. The store knows blobs by session: this is what makes one the run's."""
    if not _BLOB_ID.fullmatch(blob_id):
        return False
    named = peewee.Expression(
        RunEvent.data, "ILIKE", peewee.Value(f"%{blob_id}%", converter=False)
    )  # a hash: no wildcards
    rows = RunEvent.select(RunEvent.data).where(
        RunEvent.run_id == run.id, RunEvent.type == EventType.TOOL_RESULT, named
    )
    if any(row.data.get("blobId") == blob_id for row in rows):
        return True
    fresh = reader.read(run.id, run.last_seq, _NOT_SAVED_YET) if run.finished_at is None else []
    return any(event.data.get("blobId") == blob_id for event in fresh)
