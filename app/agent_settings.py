"""The settings of agents: keys, addresses and models by the names that users already have, and which binaries. Part of
`app.config.Settings`, which is what everybody reads."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings


def _names(*names: str) -> Any:
    return AliasChoices(*names)


class AgentSettings(BaseSettings):
    """See the module."""

    anthropic_api_key: str = Field(
        "", validation_alias=_names("ANTHROPIC_API_KEY"), description="Key of the Anthropic API, for Claude Code."
    )
    anthropic_auth_token: str = Field(
        "", validation_alias=_names("ANTHROPIC_AUTH_TOKEN"), description="Bearer token instead of a key."
    )
    claude_code_oauth_token: str = Field(
        "",
        validation_alias=_names("CLAUDE_CODE_OAUTH_TOKEN"),
        description="A subscription's login: `paddock doctor` says that it is there; agents do not get it.",
    )
    anthropic_base_url: str = Field(
        "", validation_alias=_names("ANTHROPIC_BASE_URL"), description="Another address that speaks the Anthropic API."
    )
    anthropic_model: str = Field(
        "", validation_alias=_names("ANTHROPIC_MODEL"), description="Model of Claude Code where a run names none."
    )
    claude_code_enable_tasks: str = Field(
        "",
        validation_alias=_names("CLAUDE_CODE_ENABLE_TASKS"),
        description="`0` gives Claude Code its TodoWrite tool instead of its Task tools.",
    )
    claude_code_max_retries: str = Field(
        "",
        validation_alias=_names("CLAUDE_CODE_MAX_RETRIES"),
        description="Tries of one model call by Claude Code itself, before the attempt fails.",
    )
    claude_code_path: str = Field(
        "",
        validation_alias=_names("PADDOCK_CLAUDE_CODE_PATH"),
        description="Another Claude Code binary than the installed wheel's.",
    )
    acp_command: str = Field(
        "",
        validation_alias=_names("PADDOCK_ACP_COMMAND"),
        description="The agent of the provider acp: a command in shell words; unset: claude-agent-acp.",
    )
    acp_mounts: str = Field(
        "",
        validation_alias=_names("PADDOCK_ACP_MOUNTS"),
        description="Folders that this command needs, shown in sandboxes at the same paths, read-only.",
    )
    acp_mode: str = Field(
        "",
        validation_alias=_names("PADDOCK_ACP_MODE"),
        description="Session mode in which this command's agent asks for what it does.",
    )
    openai_api_key: str = Field(
        "", validation_alias=_names("OPENAI_API_KEY"), description="Key of the OpenAI API, for Codex and OpenCode."
    )
    openai_base_url: str = Field(
        "",
        validation_alias=_names("OPENAI_BASE_URL"),
        description="Another address that speaks the OpenAI API, `/v1` included.",
    )
    openai_model: str = Field(
        "", validation_alias=_names("OPENAI_MODEL"), description="Model of Codex and OpenCode where a run names none."
    )
    codex_path: str = Field(
        "",
        validation_alias=_names("PADDOCK_CODEX_PATH"),
        description="Another Codex binary than the installed wheel's.",
    )
    opencode_path: str = Field(
        "",
        validation_alias=_names("PADDOCK_OPENCODE_PATH"),
        description="Another OpenCode binary than the installed one.",
    )

    model_proxy: bool = Field(
        True,
        validation_alias=_names("PADDOCK_MODEL_PROXY"),
        description="Agents reach their models through the proxy; `0` gives them the keys instead.",
    )
    model_proxy_host: str = Field(
        "127.0.0.1",
        validation_alias=_names("PADDOCK_MODEL_PROXY_HOST"),
        description="Address that the proxy listens on.",
    )
    model_proxy_port: int = Field(
        0,
        ge=0,
        le=65_535,
        validation_alias=_names("PADDOCK_MODEL_PROXY_PORT"),
        description="Port that the proxy listens on; 0: the one after PADDOCK_PORT.",
    )
    model_proxy_url: str = Field(
        "",
        validation_alias=_names("PADDOCK_MODEL_PROXY_URL"),
        description="Address at which sandboxes reach the proxy, where it is not http://host:port.",
    )
    model_proxy_processes: int = Field(
        1, ge=1, validation_alias=_names("PADDOCK_MODEL_PROXY_PROCESSES"), description="Processes of the proxy."
    )
    model_token_secret: str = Field(
        "",
        validation_alias=_names("PADDOCK_MODEL_TOKEN_SECRET"),
        description="Signs the tokens of runs; empty: one is made and kept in PADDOCK_VAR.",
    )
    model_max_bytes: int = Field(
        32 * 1024 * 1024,
        gt=0,
        validation_alias=_names("PADDOCK_MODEL_MAX_BYTES"),
        description="Largest request that the proxy passes on.",
    )
    model_requests_per_minute: int = Field(
        0,
        ge=0,
        validation_alias=_names("PADDOCK_MODEL_REQUESTS_PER_MINUTE"),
        description="Calls of one model by the runs of one tenant; 0: as many as they like.",
    )
    model_prices: str = Field(
        "",
        validation_alias=_names("PADDOCK_MODEL_PRICES"),
        description="A file of prices beside, or instead of, those that Paddock knows.",
    )
    budget_tokens: int | None = Field(
        None,
        ge=1,
        validation_alias=_names("PADDOCK_BUDGET_TOKENS"),
        description="budget.maxTokens of runs that name none.",
    )
    budget_usd: float | None = Field(
        None,
        gt=0,
        validation_alias=_names("PADDOCK_BUDGET_USD"),
        description="budget.maxCostUsd of runs that name none.",
    )
    budget_seconds: float | None = Field(
        None,
        gt=0,
        validation_alias=_names("PADDOCK_BUDGET_SECONDS"),
        description="budget.maxSeconds of runs that name none.",
    )

    @property
    def has_model_key(self) -> bool:
        """Whether any agent has a key that is to be kept from it."""
        return bool(self.anthropic_api_key or self.anthropic_auth_token or self.openai_api_key)

    @property
    def provider_settings(self) -> dict[str, str]:
        """What agents need to reach their models, by the names users know; unset ones are left out."""
        names = {
            "ANTHROPIC_API_KEY": self.anthropic_api_key,
            "ANTHROPIC_AUTH_TOKEN": self.anthropic_auth_token,
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_MODEL": self.anthropic_model,
            "CLAUDE_CODE_ENABLE_TASKS": self.claude_code_enable_tasks,
            "CLAUDE_CODE_MAX_RETRIES": self.claude_code_max_retries,
            "OPENAI_API_KEY": self.openai_api_key,
            "OPENAI_BASE_URL": self.openai_base_url,
            "OPENAI_MODEL": self.openai_model,
        }
        return {name: value for name, value in names.items() if value}

    @property
    def agent_paths(self) -> dict[str, str]:
        """Binaries that are named instead of the installed ones, by provider; unset ones are left out."""
        paths = {"claude-code": self.claude_code_path, "codex-cli": self.codex_path, "opencode": self.opencode_path}
        return {kind: path for kind, path in paths.items() if path}

    @property
    def acp(self) -> dict[str, str]:
        """Which agent the provider acp is; unset ones are left out."""
        told = {"command": self.acp_command, "mounts": self.acp_mounts, "mode": self.acp_mode}
        return {name: value for name, value in told.items() if value}
