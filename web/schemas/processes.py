"""Worker processes on the wire."""

from __future__ import annotations

from app.models import WorkerProcess
from web.schemas.common import when
from web.wire import Shown


class ProcessView(Shown):
    """A worker process. `state`: ready, draining (it hands back what it has), drained; `running` is what it has in hand."""

    name: str
    kind: str
    host: str
    pid: int
    state: str
    running: int
    started_at: str
    seen_at: str


class ProcessList(Shown):
    """Those that were heard of lately."""

    items: list[ProcessView]


def process_list(rows: list[WorkerProcess]) -> ProcessList:
    return ProcessList(items=[_view(row) for row in rows])


def _view(row: WorkerProcess) -> ProcessView:
    return ProcessView(
        name=row.name,
        kind=row.kind,
        host=row.host,
        pid=row.pid,
        state=row.state,
        running=row.running,
        started_at=when(row.started_at) or "",
        seen_at=when(row.seen_at) or "",
    )
