"""Starting OpenCode, and finding out whether it can start.

It asks for everything but reading, searching, its todo list, questions and sub-agents (whose own calls ask). A repository cannot
configure it: `OPENCODE_DISABLE_PROJECT_CONFIG` and `OPENCODE_PURE` keep most of its settings from being read, but not all (1.18.33
still runs its plugins), so the bridge refuses to start in a workspace that holds any; see tests/contract/providers.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from app.domain.capabilities import Capabilities
from app.domain.turn import AgentCommand, Launch, Probe
from app.ports import Readiness, Turn
from app.providers.binaries import Binary
from app.providers.openai_settings import DEFAULT_ADDRESS, DEFAULT_MODEL, missing
from app.providers.opencode.turn import OpenCodeTurn
from app.providers.opencode.wire import LANE

KIND = "opencode"
LEAST = "1.18.33"
"""The oldest version that this adapter is known to drive."""

FOLDER = "/opt/agents/opencode"
"""Where the sandbox shows the folder of the binary."""

HOME = "/home/agent"
LIMIT = {"context": 200_000, "output": 32_000}
"""Of the model, in tokens; the conversation is summarised before that."""
MODELS = ".opencode-models.json"
"""A list of the models of the world, empty: ours is in the configuration, and reading its own of some thousands is a third of what
OpenCode does before it answers."""
UNASKED = ("read", "glob", "grep", "list", "lsp", "todowrite", "todoread", "question", "task")

TEXT_LINES = ('{"type":"event","event":{"type":"message.part.delta"',)
"""The pieces of a text, which comes whole afterwards."""

_SWITCHES = (
    "OPENCODE_DISABLE_AUTOUPDATE",
    "OPENCODE_DISABLE_CLAUDE_CODE",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS",
    "OPENCODE_DISABLE_EXTERNAL_SKILLS",
    "OPENCODE_DISABLE_LSP_DOWNLOAD",
    "OPENCODE_DISABLE_MODELS_FETCH",
    "OPENCODE_DISABLE_PROJECT_CONFIG",
    "OPENCODE_DISABLE_SHARE",
    "OPENCODE_ENABLE_QUESTION_TOOL",
    "OPENCODE_PURE",
)
_ENVIRONMENT = {
    "HOME": HOME,
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "npm_config_cache": "/tmp/npm",  # noqa: S108 - in the sandbox: not to be saved with the agent's state
    **dict.fromkeys(_SWITCHES, "1"),
}


class OpenCodeProvider:
    """See the module."""

    kind = KIND

    def __init__(self, binary: Path | None = None) -> None:
        """`binary` is looked for where it is not given: where `make agents` puts it, then on PATH."""
        self._binary = Binary("OpenCode", LEAST, "PADDOCK_OPENCODE_PATH", "Run `make agents`.", _installed, binary)
        self.capabilities = Capabilities(
            stream=True, stop=True, resume=True, human_loop=True, questions=True, todo=True, usage=True, steering=True
        )

    def readiness(self, settings: Mapping[str, str]) -> Readiness:
        return self._binary.readiness(missing("OpenCode", settings))

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:
        return wanted or settings.get("OPENAI_MODEL") or DEFAULT_MODEL

    def mounts(self) -> Mapping[str, str]:
        binary = self._binary.find()
        return {FOLDER: str(binary.parent)} if binary else {}

    def probes(self, launch: Launch) -> Sequence[Probe]:
        """Ask for the store, which is a database: whether the conversation holds the prompt is asked of the server itself."""
        return (Probe(".local/share/opencode/opencode.db"),) if launch.resume else ()

    def command(self, launch: Launch) -> AgentCommand:
        binary = self._binary.find()
        inside = f"{FOLDER}/{binary.name}" if binary else "opencode"
        config = orjson.dumps(_config(launch)).decode()
        return AgentCommand(
            argv=["/opt/paddock/python", "-I", "-S", "/opt/paddock/executor/opencode_bridge.py", inside],
            env={
                **_ENVIRONMENT,
                "OPENAI_API_KEY": launch.settings.get("OPENAI_API_KEY", ""),
                "OPENCODE_CONFIG_CONTENT": config,
                "OPENCODE_MODELS_PATH": f"{HOME}/{MODELS}",
            },
            files={MODELS: "{}"},
            secrets=("OPENAI_API_KEY",),
            text_lines=TEXT_LINES,
        )

    def begin(self, launch: Launch) -> Turn:
        return OpenCodeTurn(launch, launch.model or DEFAULT_MODEL)


def _config(launch: Launch) -> dict[str, object]:
    model = launch.model or DEFAULT_MODEL
    address = launch.settings.get("OPENAI_BASE_URL") or DEFAULT_ADDRESS
    lane = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Paddock",
        "options": {"baseURL": address, "apiKey": "{env:OPENAI_API_KEY}"},
        "models": {model: {"name": model, "tool_call": True, "limit": LIMIT}},
    }
    return {
        "model": f"{LANE}/{model}",
        "small_model": f"{LANE}/{model}",
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "enabled_providers": [LANE],
        "provider": {LANE: lane},
        "permission": {"*": "ask", **dict.fromkeys(UNASKED, "allow")},
    }


def _installed() -> Path | None:
    for found in Path(sys.prefix).glob("agents/opencode/node_modules/opencode-*/bin/opencode"):
        return found
    on_path = shutil.which("opencode")
    return Path(on_path).resolve() if on_path else None
