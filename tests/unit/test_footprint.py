"""What preflight sees of credentials and versions without a look into any secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.failure import FailureCode
from app.ports import Provider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.codex_cli import CodexProvider
from app.providers.footprint import credentials_of
from app.providers.opencode import OpenCodeProvider

KEYS = {"ANTHROPIC_API_KEY": "sk-a", "OPENAI_API_KEY": "sk-o"}


def told(kind: str, home: Path, token: str = "", **settings: str) -> list[tuple[str, bool]]:
    return [(found.name, found.is_used) for found in credentials_of(kind, settings, token, home)]


def login(home: Path, path: str, text: str = '{"token": "sk-secret"}') -> None:
    place = home / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0)  # whoever would read it fails, but for root


def test_keys_are_used_and_logins_of_people_are_seen_but_not_used(tmp_path: Path) -> None:
    assert told("claude-code", tmp_path) == []
    login(tmp_path, ".claude/.credentials.json")
    login(tmp_path, ".codex/auth.json")
    assert told("claude-code", tmp_path, "oauth-1", **KEYS) == [
        ("ANTHROPIC_API_KEY", True),
        ("CLAUDE_CODE_OAUTH_TOKEN", False),
        ("~/.claude/.credentials.json", False),
    ]
    assert told("codex-cli", tmp_path) == [("~/.codex/auth.json", False)]
    assert told("codex-cli", tmp_path, **KEYS) == [("OPENAI_API_KEY", True), ("~/.codex/auth.json", False)]
    assert told("opencode", tmp_path, **KEYS) == [("OPENAI_API_KEY", True)]
    assert told("scripted", tmp_path, "oauth-1", **KEYS) == []


def test_an_empty_login_is_none(tmp_path: Path) -> None:
    login(tmp_path, ".codex/auth.json", "")
    assert told("codex-cli", tmp_path) == []


@pytest.mark.parametrize("make", [ClaudeCodeProvider, CodexProvider, OpenCodeProvider])
@pytest.mark.parametrize(("version", "fits"), [("0.9.9", False), ("99.0.1", True)])
def test_an_agent_that_is_too_old_is_not_ready(
    tmp_path: Path, make: type[ClaudeCodeProvider], version: str, fits: bool
) -> None:
    binary = tmp_path / "agent"
    binary.write_text(f"#!/bin/sh\necho 'agent {version}'\n")
    binary.chmod(0o755)
    provider: Provider = make(binary)
    ready = provider.readiness(KEYS)
    assert (ready.version, ready.binary) == (version, str(binary))
    if fits:
        assert ready.failure is None
    else:
        assert ready.failure is not None
        assert ready.failure.code is FailureCode.SETUP_FAILED
        assert version in ready.failure.message
        assert "make agents" in ready.failure.advice
