"""The agents that the contract suite drives: each with its real binary, and the settings by which it finds the scripted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.turn import Launch
from app.ports import Provider
from app.providers.acp import AcpProvider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.codex_cli import CodexProvider
from app.providers.opencode import OpenCodeProvider
from tests.support.model_server import ModelServer

KEY = "sk-scripted"


@dataclass(frozen=True)
class Subject:
    """One agent of the suite. `settings` maps a model server's address to the platform's settings; `execute` and `edit` are the names
    of its tools for commands and files."""

    kind: str
    make: Callable[[], Provider]
    settings: Callable[[str], Mapping[str, str]]
    execute: str
    edit: str
    model: str | None = None

    def launch(self, server: ModelServer, prompt: str, **fields: Any) -> Launch:
        settings = {**self.settings(server.url), **fields.pop("settings", {})}
        given = {"run_id": "run_1", "session_id": "ses_1", "attempt": 1, "model": self.model, **fields}
        return Launch(prompt=prompt, settings=settings, **given)


def _anthropic(url: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY, "CLAUDE_CODE_MAX_RETRIES": "1"}


def _openai(url: str) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY}


SUBJECTS = {
    subject.kind: subject
    for subject in (
        Subject("claude-code", ClaudeCodeProvider, _anthropic, "Bash", "Write", "claude-sonnet-4-5"),
        Subject("acp", AcpProvider, _anthropic, "Bash", "Write", "claude-sonnet-4-5"),  # claude-agent-acp
        Subject("codex-cli", CodexProvider, _openai, "exec_command", "apply_patch"),
        Subject("opencode", OpenCodeProvider, _openai, "bash", "write", "a-model"),  # a GPT would get apply_patch
    )
}
