"""Start the executor: settings from stdin, hardening, then the main thread becomes the spawner."""

from __future__ import annotations

import os
import resource
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from executor import http1
from executor.agents import Agents, kill_leftovers
from executor.log_lines import ExecutorLog
from executor.population import Population
from executor.server import AgentRoutes, Contact, Server
from executor.settings import Settings
from executor.spawner import Spawner, harden
from executor.warden import Watch, guard
from executor.workspace import Workspace


def main() -> None:
    _allow_deep_trees()
    settings = Settings.from_line(sys.stdin.buffer.readline())
    _close_stdin()
    boot_id = os.urandom(8).hex()
    warden = None if settings.own_pids else guard(boot_id)
    harden()
    kill_leftovers(settings)
    contact = Contact()
    spawner = Spawner(settings, boot_id)
    workspace = Workspace(settings, spawner, Population(settings, warden))
    agents = Agents(settings, spawner, workspace.write_home)
    agents.close_lost()
    server = Server(settings, boot_id, contact)
    server.describe(lambda: {"agents": agents.running(), "isolated": spawner.isolates, "ownPids": settings.own_pids})
    AgentRoutes(agents, contact).add_to(server)
    workspace.add_to(server)
    socket = http1.listen(settings.listen)
    log = ExecutorLog(f"{settings.name}.{settings.generation}")
    log.write("info", "executor ready", bootId=boot_id, pid=os.getpid())
    threading.Thread(target=http1.serve, args=(socket, log.around(server.handle)), name="accept", daemon=True).start()
    threading.Thread(target=Watch(settings, agents, contact).run, name="watch", daemon=True).start()
    spawner.run()


def _allow_deep_trees() -> None:
    """A walk holds a frame and a descriptor for each level of a tree."""
    sys.setrecursionlimit(5_000)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 65_536 else 65_536, hard))


def _close_stdin() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    main()
