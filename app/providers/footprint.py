"""What there is on this machine by which an agent could log in: keys and tokens of the settings, and the logins of people who use the
agent themselves. Names alone, never what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.providers.claude_code.provider import KIND as CLAUDE_CODE
from app.providers.codex_cli.provider import KIND as CODEX
from app.providers.opencode.provider import KIND as OPENCODE

_ANTHROPIC = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_KEYS = {
    CLAUDE_CODE: _ANTHROPIC,
    "acp": (*_ANTHROPIC, "OPENAI_API_KEY"),
    CODEX: ("OPENAI_API_KEY",),
    OPENCODE: ("OPENAI_API_KEY",),
}
_LOGINS = {
    CLAUDE_CODE: (".claude/.credentials.json",),
    "acp": (".claude/.credentials.json",),
    CODEX: (".codex/auth.json",),
    OPENCODE: (".local/share/opencode/auth.json",),
}
_TOKENS = {CLAUDE_CODE: ("CLAUDE_CODE_OAUTH_TOKEN",), "acp": ("CLAUDE_CODE_OAUTH_TOKEN",)}

LOGIN_REMEDY = "Agents have a home of their own, and a subscription is a person's: set a key of the API."


@dataclass(frozen=True, slots=True)
class Credential:
    """One thing to log in with that is there. `is_used`: agents are given it, or what stands for it with the model proxy."""

    name: str
    is_used: bool

    def __str__(self) -> str:
        return self.name if self.is_used else f"{self.name} (a subscription's login, not used)"


def credentials_of(kind: str, settings: Mapping[str, str], subscription_token: str, home: Path) -> list[Credential]:
    """Return what there is for a provider, what is used first. `home` is that of Paddock's user."""
    keys = [Credential(name, is_used=True) for name in _KEYS.get(kind, ()) if settings.get(name)]
    tokens = [Credential(name, is_used=False) for name in _TOKENS.get(kind, ()) if subscription_token]
    logins = [Credential(f"~/{path}", is_used=False) for path in _LOGINS.get(kind, ()) if _has(home / path)]
    return [*keys, *tokens, *logins]


def _has(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
