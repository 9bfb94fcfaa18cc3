"""Codex by its app-server: newline JSON-RPC on stdio, one process per attempt."""

from app.providers.codex_cli.provider import CodexProvider

__all__ = ["CodexProvider"]
