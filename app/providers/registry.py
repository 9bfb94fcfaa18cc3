"""Which providers there are. What each can do is its adapter's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from app.errors import Invalid
from app.ports import Provider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.scripted import ScriptedProvider


class Registry:
    """The providers by kind."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.kind: provider for provider in providers}

    def get(self, kind: str) -> Provider:
        """Return the provider; raises Invalid `provider_unknown`."""
        try:
            return self._providers[kind]
        except KeyError:
            known = ", ".join(sorted(self._providers))
            raise Invalid(
                "provider_unknown", f"There is no provider {kind!r}.", remedy=f"Choose one of: {known}."
            ) from None

    def list(self) -> list[Provider]:
        return list(self._providers.values())


def build_registry(mode: str, claude_code_path: str = "") -> Registry:
    """Return the providers; mode `scripted` puts the scripted agent behind every kind (`PADDOCK_PROVIDER_MODE`).
    `claude_code_path` names another binary than the installed one."""
    claude_code = ClaudeCodeProvider(Path(claude_code_path).expanduser().resolve() if claude_code_path else None)
    real: list[Provider] = [claude_code, ScriptedProvider()]
    if mode == "scripted":
        return Registry(ScriptedProvider(provider.kind) for provider in real)
    return Registry(real)
