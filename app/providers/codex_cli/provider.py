"""Starting Codex, and finding out whether it can start.

It asks for every command that it does not know as read-only and for every edit (`approvalPolicy: untrusted`). Its tools that act
beyond that are off: web search runs at the model's side, past any policy; apps, plugins and remote plugins load code.

A repository cannot configure it: the workspace is `untrusted`, so its `.codex/` (settings, hooks, MCP servers, rules) is not
read; see tests/contract/providers. Its AGENTS.md is instructions, as any text of the repository is.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from app.domain.capabilities import Capabilities
from app.domain.turn import AgentCommand, Launch, Probe
from app.ports import Readiness, Turn
from app.providers.binaries import Binary
from app.providers.codex_cli.turn import CodexTurn, prompt_mark
from app.providers.openai_settings import DEFAULT_ADDRESS, DEFAULT_MODEL, missing

KIND = "codex-cli"
LEAST = "0.163.0"
"""The oldest version that this adapter is known to drive."""

FOLDER = "/opt/agents/codex-cli"
"""Where the sandbox shows the package of the binary."""

HOME = "/home/agent"

TEXT_LINES = tuple(
    f'{{"method":"item/{kind}'
    for kind in (
        "agentMessage/delta",
        "reasoning/summaryTextDelta",
        "reasoning/textDelta",
        "commandExecution/outputDelta",
    )
)
"""The pieces of texts and outputs, which come whole afterwards."""

_ENVIRONMENT = {
    "HOME": HOME,
    "CODEX_HOME": f"{HOME}/.codex",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_CONFIG = """\
model = {model}
model_provider = "paddock"
check_for_update_on_startup = false
suppress_unstable_features_warning = true
web_search = "disabled"

[model_providers.paddock]
name = "paddock"
base_url = {address}
wire_api = "responses"
env_key = "OPENAI_API_KEY"
request_max_retries = 3
stream_max_retries = 1

[projects."/workspace"]
trust_level = "untrusted"

[tools.update_plan]
enabled = true

[features]
default_mode_request_user_input = true
plugins = false
apps = false
remote_plugin = false
hooks = false

[analytics]
enabled = false

[otel]
exporter = "none"
"""


class CodexProvider:
    """See the module."""

    kind = KIND

    def __init__(self, binary: Path | None = None) -> None:
        """`binary` is looked for where it is not given: in the installed wheel, then on PATH."""
        self._binary = Binary("Codex", LEAST, "PADDOCK_CODEX_PATH", "Run `make agents`.", _installed, binary)
        self.capabilities = Capabilities(
            stream=True, stop=True, resume=True, human_loop=True, questions=True, todo=True, usage=True, steering=True
        )

    def readiness(self, settings: Mapping[str, str]) -> Readiness:
        return self._binary.readiness(missing("Codex", settings))

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:
        return wanted or settings.get("OPENAI_MODEL") or DEFAULT_MODEL

    def mounts(self) -> Mapping[str, str]:
        binary = self._binary.find()
        return {FOLDER: str(binary.parent.parent)} if binary else {}

    def probes(self, launch: Launch) -> Sequence[Probe]:
        if launch.resume is None:
            return ()
        glob = f".codex/sessions/*/*/*/rollout-*-{launch.resume.conversation_id}.jsonl"
        return (Probe(glob, f'"client_id":"{prompt_mark(launch.run_id)}"'),)

    def command(self, launch: Launch) -> AgentCommand:
        binary = self._binary.find()
        inside = f"{FOLDER}/{binary.parent.name}/{binary.name}" if binary else "codex"
        model = launch.model or DEFAULT_MODEL
        address = launch.settings.get("OPENAI_BASE_URL") or DEFAULT_ADDRESS
        config = _CONFIG.format(model=_quoted(model), address=_quoted(address))
        return AgentCommand(
            argv=[inside, "app-server"],
            env={**_ENVIRONMENT, "OPENAI_API_KEY": launch.settings.get("OPENAI_API_KEY", "")},
            secrets=("OPENAI_API_KEY",),
            files={".codex/config.toml": config},
            text_lines=TEXT_LINES,
        )

    def begin(self, launch: Launch) -> Turn:
        return CodexTurn(launch)


def _installed() -> Path | None:
    package = importlib.util.find_spec("codex_cli_bin")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "bin" / "codex"
        if bundled.is_file():
            return bundled
    found = shutil.which("codex")
    return Path(found).resolve() if found else None


def _quoted(text: str) -> str:
    """Return a TOML basic string: JSON's escapes are among TOML's."""
    return orjson.dumps(text).decode()
