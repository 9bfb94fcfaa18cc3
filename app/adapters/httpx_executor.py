"""The executor's client (`ports.Executor`) over httpx: a unix socket for local sandboxes, an address for every other."""

from __future__ import annotations

from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.adapters.httpx_agents import HttpxAgents
from app.adapters.httpx_transport import Call, Transport
from app.adapters.httpx_workspace import HttpxWorkspace
from app.ports import ExecutorError


class HttpxExecutor(HttpxAgents, HttpxWorkspace):
    """Implements `ports.Executor`. Safe for many threads; cheap per call."""

    def __init__(self, address: ExecutorAddress, settings: ExecutorClientSettings | None = None) -> None:
        transport = Transport(address, settings or ExecutorClientSettings())
        HttpxAgents.__init__(self, transport)
        HttpxWorkspace.__init__(self, transport)

    def answers(self) -> bool:
        """True where the executor serves now; asks once."""
        try:
            self._transport.bytes(Call("GET", "/health", "health", once=True))
        except ExecutorError:
            return False
        return True

    def close(self) -> None:
        """Give back the connections; a later call opens new ones."""
        self._transport.close()
