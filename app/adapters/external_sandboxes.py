"""Sandboxes on one external executor host (`ports.Sandboxes`, EXECUTOR_BASE_URL): each session's executor behind the host's address.

A host that does not answer is never taken for sandboxes that are gone: every question then raises Unavailable, so nothing is marked
deleted, restored elsewhere or lost because of a network.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from app.adapters.executor_address import ExecutorAddress, ExecutorClientSettings
from app.adapters.httpx_agents import require_spoken
from app.adapters.httpx_executor import HttpxExecutor
from app.adapters.httpx_transport import Call, Transport, json_body
from app.errors import Unavailable
from app.ports import ExecutorError, SandboxSpec

_REMEDY = "Look at the host that EXECUTOR_BASE_URL names: that it runs, can be reached from here, and has this EXECUTOR_AUTH_TOKEN."


class ExternalSandboxes:
    """Safe for many threads; keeps no state that another process would need."""

    def __init__(self, base_url: str, token: str, settings: ExecutorClientSettings) -> None:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise ValueError(f"EXECUTOR_BASE_URL must be an http or https address, not {base_url!r}")
        self._base_url, self._token, self._settings = base_url.rstrip("/"), token, settings
        labels = {"session-id": "-", "executor-id": "host"}
        self._host = Transport(ExecutorAddress(token, 0, base_url=self._base_url, labels=labels), settings)
        self._clients: dict[str, tuple[int, HttpxExecutor]] = {}
        self._lock = threading.Lock()

    def check(self) -> None:
        """Look whether the host answers, speaks our protocol and takes our token; raises Unavailable with what to do."""
        facts = self._ask(Call("GET", "/health", "health"))
        try:
            require_spoken(facts.get("protocol"))
        except ExecutorError as error:
            raise _refused(error.message) from error
        self._ask(Call("GET", "/sandboxes", "sandbox.list"))

    def close(self) -> None:
        """Give back the connections, at the end."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for _, client in clients.values():
            client.close()
        self._host.close()

    def start(self, spec: SandboxSpec) -> HttpxExecutor:
        self.check()
        body = {"generation": spec.generation, "mounts": dict(spec.mounts), "labels": dict(spec.labels)}
        call = Call("PUT", f"/sandboxes/{spec.name}", "sandbox.start", content=json_body(body), timeout=60.0)
        self._ask(call)
        return self._client(spec.name, spec.generation)

    def connect(self, name: str) -> HttpxExecutor | None:
        generation = self._look(name)["generation"]
        return None if generation is None else self._client(name, generation)

    def stop(self, name: str, generation: int) -> None:
        up_to = {"generation": str(generation)}
        self._ask(Call("POST", f"/sandboxes/{name}/stop", "sandbox.stop", up_to, timeout=60.0))
        self._forget(name, generation)

    def remove(self, name: str, generation: int) -> None:
        up_to = {"generation": str(generation)}
        self._ask(Call("DELETE", f"/sandboxes/{name}", "sandbox.remove", up_to, timeout=60.0))
        self._forget(name, generation)

    def exists(self, name: str) -> bool:
        return bool(self._look(name)["exists"])

    def list_running(self) -> list[str]:
        return list(self._ask(Call("GET", "/sandboxes", "sandbox.list"))["running"])

    # --- inside ------------------------------------------------------------------------------------------------------------

    def _look(self, name: str) -> Mapping[str, Any]:
        return self._ask(Call("GET", f"/sandboxes/{name}", "sandbox.look"))

    def _ask(self, call: Call) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = self._host.json(call)
        except ExecutorError as error:
            if error.code in ("wrong_generation", "not_started"):
                raise
            raise _refused(str(error)) if error.status in (401, 403) else _unavailable(str(error)) from error
        return answer

    def _client(self, name: str, generation: int) -> HttpxExecutor:
        with self._lock:
            known = self._clients.get(name)
            if known is not None and known[0] == generation:
                return known[1]
            labels = {"session-id": name, "executor-id": f"{name}.{generation}"}
            base_url = f"{self._base_url}/sandboxes/{name}/executor"
            made = HttpxExecutor(
                ExecutorAddress(self._token, generation, base_url=base_url, labels=labels), self._settings
            )
            self._clients[name] = (generation, made)
        if known is not None:
            known[1].close()
        return made

    def _forget(self, name: str, generation: int) -> None:
        with self._lock:
            known = self._clients.get(name)
            if known is None or known[0] > generation:
                return
            del self._clients[name]
        known[1].close()


def _refused(why: str) -> Unavailable:
    """Waiting does not help: the host is there, and not ours to use."""
    return Unavailable("executor_host_refused", f"The external executor host is of no use: {why}", remedy=_REMEDY)


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "executor_host_unavailable", f"The external executor host does not answer: {why}", remedy=_REMEDY
    )
