"""Which providers there are. What each can do is its adapter's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from app.errors import Invalid
from app.ports import Provider
from app.providers.acp import AcpProvider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.claude_code.provider import KIND as CLAUDE_CODE
from app.providers.codex_cli import CodexProvider
from app.providers.codex_cli.provider import KIND as CODEX
from app.providers.opencode import OpenCodeProvider
from app.providers.opencode.provider import KIND as OPENCODE
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


def build_registry(mode: str, paths: Mapping[str, str], acp: Mapping[str, str] | None = None) -> Registry:
    """Return the providers; mode `scripted` puts the scripted agent behind every kind (`PADDOCK_PROVIDER_MODE`).
    `paths` names other binaries than the installed ones, by kind; `acp` is what the operator says of the provider acp."""
    binaries = {kind: Path(path).expanduser().resolve() for kind, path in paths.items()}
    real: list[Provider] = [
        ClaudeCodeProvider(binaries.get(CLAUDE_CODE)),
        CodexProvider(binaries.get(CODEX)),
        OpenCodeProvider(binaries.get(OPENCODE)),
        AcpProvider(acp, binaries.get(CLAUDE_CODE)),
        ScriptedProvider(),
    ]
    if mode == "scripted":
        return Registry(ScriptedProvider(provider.kind) for provider in real)
    return Registry(real)
