"""Whether providers are ready, remembered for a moment: looking may start a program."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.domain.failure import FailureCode
from app.errors import Invalid
from app.ports import Provider, Readiness

FRESH_SECONDS = 5.0


class Providers(Protocol):
    """The providers by kind."""

    def get(self, kind: str) -> Provider: ...

    def list(self) -> Sequence[Provider]: ...


class ProviderReadiness:
    """What `GET /providers` and the creation of runs ask."""

    def __init__(
        self, providers: Providers, settings: Mapping[str, str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._providers, self._settings, self._clock = providers, settings, clock
        self._known: dict[str, tuple[float, Readiness]] = {}

    def look(self, kind: str) -> Readiness:
        """Return a provider's readiness; raises Invalid `provider_unknown`."""
        provider = self._providers.get(kind)
        at, readiness = self._known.get(kind, (0.0, None))
        if readiness is None or self._clock() - at > FRESH_SECONDS:
            readiness = provider.readiness(self._settings)
            self._known[kind] = (self._clock(), readiness)
        return readiness

    def require(self, kind: str) -> None:
        """Raise Invalid `provider_not_ready` (`auth_missing` where a credential lacks) unless a run could start."""
        failure = self.look(kind).failure
        if failure is not None:
            code = "auth_missing" if failure.code == FailureCode.AUTH_MISSING else "provider_not_ready"
            raise Invalid(code, failure.message, remedy=failure.advice)
