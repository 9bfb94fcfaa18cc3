"""The worker processes of the installation, and draining them. They serve all tenants, so they are the first tenant's to operate:
for everybody else there are none."""

from __future__ import annotations

from collections.abc import Callable

from app.domain.permissions import Permission, Principal
from app.errors import NotFound
from app.log import logger
from app.models import WorkerProcess
from app.services import identity, worker_processes
from web.routing import Routes
from web.schemas.common import WaitBody
from web.schemas.processes import ProcessList, process_list
from web.waiting import wait_for
from web.wire import Reply

routes = Routes("worker processes")
ADDRESS = "/api/worker-processes"


@routes.get(ADDRESS, Permission.PROCESS_READ)
def list_processes(principal: Principal) -> ProcessList:
    """List the living worker processes, what each has in hand and whether it is drained."""
    return process_list(worker_processes.list_living() if _operates(principal) else [])


@routes.post(f"{ADDRESS}/<name>/drain", Permission.PROCESS_MAINTAIN, answers=ProcessList)
def drain(principal: Principal, name: str, body: WaitBody) -> Reply:
    """Have a worker process, or all of a host, hand back its runs to others and take none. 202 while it still has some in hand."""
    return _turn(principal, name, body, worker_processes.drain, "drained")


@routes.post(f"{ADDRESS}/<name>/undrain", Permission.PROCESS_MAINTAIN, answers=ProcessList)
def undrain(principal: Principal, name: str, body: WaitBody) -> Reply:
    """Let a drained worker process, or all of a host, take runs again."""
    return _turn(principal, name, body, worker_processes.undrain, "ready")


def _turn(principal: Principal, name: str, body: WaitBody, turn: Callable[[list[str]], None], state: str) -> Reply:
    if not _operates(principal):
        raise NotFound("worker process")
    names = [process.name for process in worker_processes.find(name)]
    turn(names)
    logger.info("worker processes turned", names=names, towards=state, by=principal.user_id)

    def done() -> list[WorkerProcess] | None:
        rows = [row for row in worker_processes.list_living() if row.name in names]
        return rows if all(row.state == state for row in rows) else None

    rows = wait_for(done, body.timeout_ms)
    if rows is not None:
        return Reply(process_list(rows))
    left = [row for row in worker_processes.list_living() if row.name in names]
    return Reply(process_list(left), 202, {"Location": ADDRESS})


def _operates(principal: Principal) -> bool:
    return principal.tenant_id == identity.first_tenant_id()
