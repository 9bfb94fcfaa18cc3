"""What a task leaves for reading. A plain run is a task of one node: its id is a run's. So far: the blobs of long outputs."""

from __future__ import annotations

from flask import Response

from app.domain.permissions import Permission
from app.errors import NotFound
from app.models import AgentRun
from app.services.run_blobs import RunBlobs, names_blob
from web.api.workspaces import attachment
from web.parts import Parts
from web.routing import Routes

routes = Routes("trace")
TEXT = "text/plain; charset=utf-8"


@routes.get("/api/task/<run_id>/trace/blobs/<blob_id>", Permission.RUN_READ, produces=TEXT)
def get_blob(run: AgentRun, parts: Parts, blob_id: str) -> Response:
    """Read the whole of an output that its event carries only the beginning of, by the event's `blobId`."""
    if not names_blob(run, blob_id, parts.log_reader):
        raise NotFound("blob of this run")
    data = RunBlobs(parts.container.store, run).read(blob_id)
    headers = {"Content-Disposition": attachment(f"{blob_id[:12]}.txt"), "Cache-Control": "private, max-age=3600"}
    return Response(data, headers=headers, content_type=TEXT)
