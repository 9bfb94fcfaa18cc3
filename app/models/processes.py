"""The worker processes of the installation."""

from __future__ import annotations

import peewee

from app.models.table import Table


class WorkerProcess(Table):
    """A process that drives runs or grants wishes; not a session worker, which is a sandbox."""

    name = peewee.TextField(primary_key=True)
    kind = peewee.TextField()
    host = peewee.TextField()
    pid = peewee.IntegerField()
    state = peewee.TextField()
    running = peewee.IntegerField(default=0)
    started_at = peewee.DoubleField()
    seen_at = peewee.DoubleField()

    class Meta:
        table_name = "worker_processes"
