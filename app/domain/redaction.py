"""Taking secrets out of what is about to be written down: before any consumer, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MARK = "[redacted]"
SHORTEST = 8
"""Characters; a shorter value is no secret worth the damage of cutting it out of every text."""


class Redactor:
    """Replaces known secret values in strings, however deep they are nested."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)

    def clean(self, value: Any) -> Any:
        """Return `value` (JSON-like) without the secrets; the same object where there was none."""
        if not self._secrets:
            return value
        if isinstance(value, str):
            for secret in self._secrets:
                if secret in value:
                    value = value.replace(secret, MARK)
            return value
        if isinstance(value, Mapping):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.clean(item) for item in value]
        return value
