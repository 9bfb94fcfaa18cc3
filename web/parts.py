"""What web needs of the composition root: `app.container.Container` has these fields, and tests may hand in less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from flask import current_app

from app.config import Settings
from app.ports import Bell, EventStream, ObjectStore, Provider, Sandboxes


class Providers(Protocol):
    """The providers by kind."""

    def get(self, kind: str) -> Provider: ...

    def list(self) -> Sequence[Provider]: ...


class Hub(Protocol):
    """`web.hub`: fans the logs of runs out to clients."""

    def join(self, run_id: str, cursor: int) -> Iterator[Any]: ...


class Parts(Protocol):
    """The parts that a request may use; a view names one of them by asking for `parts: Parts`."""

    @property
    def settings(self) -> Settings: ...

    @property
    def redis(self) -> Any: ...

    @property
    def stream(self) -> EventStream: ...

    @property
    def bell(self) -> Bell: ...

    @property
    def store(self) -> ObjectStore: ...

    @property
    def sandboxes(self) -> Sandboxes: ...

    @property
    def providers(self) -> Providers: ...

    @property
    def hub(self) -> Hub: ...


def parts() -> Parts:
    """Return the parts of the application that serves this request."""
    found: Parts = current_app.extensions["paddock"]
    return found


__all__ = ["Hub", "Parts", "Providers", "parts"]
