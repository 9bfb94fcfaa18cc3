"""STUB"""

from __future__ import annotations

from executor.agents import Agents
from executor.files import Tree, write_atomically
from executor.server import Server
from executor.settings import Settings
from executor.spawner import Spawner


class Workspace:
    def __init__(self, settings: Settings, spawner: Spawner) -> None:
        self._home = Tree(settings.agent, "/home/agent")

    def write_home(self, path: str, data: bytes) -> None:
        with self._home.parent(path, create=True) as (folder, name):
            write_atomically(folder, name, iter((data,)), 0o600)

    def add_to(self, server: Server, agents: Agents) -> None:
        pass
