"""Starting Claude Code, and finding out whether it can start.

What it asks for comes to the policy as permission requests. What it does not ask for, in mode `default` with the settings
below (seen with CLI 2.1.327): Read below the working directory, commands that the CLI itself knows as read-only (`ls`,
`git status`, `find`, `grep`, `echo`, `pwd`, `--version` …; not `cat` of other places, `env`, redirections, variables),
sub-agents (their own calls ask), Task and Todo tools, Skill, ToolSearch, EnterPlanMode. Everything else asks; the edit tools
and the web tools are made to (`ASK`), because the CLI would write its memory folder and fetch well-known
documentation sites unasked. Tools that act after the turn or beyond the session are taken away (`WITHHELD`), and
sub-agents and commands run in the foreground, so that a turn's result is its end.

A repository cannot configure it: no setting source is read (`--setting-sources=`), so its `.claude/` (settings, hooks,
agents, skills, commands), `.mcp.json` and also CLAUDE.md have no effect; see tests/contract/providers.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from app.domain.capabilities import Capabilities
from app.domain.failure import Failure, FailureCode
from app.domain.turn import AgentCommand, Launch, Probe
from app.ports import Readiness, Turn
from app.providers.binaries import Binary, is_address
from app.providers.claude_code.identity import conversation_of, prompt_uuid
from app.providers.claude_code.turn import ClaudeCodeTurn

KIND = "claude-code"
LEAST = "2.1.197"
"""The oldest version that this adapter is known to drive."""

REMEDY = "Run `make up` (without AGENTS=none), or `pip install claude-agent-sdk` into Paddock's environment."

FOLDER = "/opt/agents/claude-code"
"""Where the sandbox shows the folder of the binary."""

HOME = "/home/agent"
ASK = ["Edit", "Write", "NotebookEdit", "WebFetch", "WebSearch"]
WITHHELD = [
    "CronCreate",
    "CronDelete",
    "CronList",
    "EnterWorktree",
    "ExitWorktree",
    "ListAgents",
    "Monitor",
    "ScheduleWakeup",
    "SendMessage",
    "Workflow",
]
SECRET_WORDS = ("KEY", "TOKEN", "HEADERS")
TEXT_LINES = ('{"type":"stream_event","event":{"type":"content_block_delta"',)
"""The pieces of a block, which comes whole afterwards."""
MAX_RETRIES = "4"
"""Of one model call, some 9 s in all; after that the run's own attempts take over."""

_ENVIRONMENT = {
    "HOME": HOME,
    "CLAUDE_CONFIG_DIR": f"{HOME}/.claude",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    "CLAUDE_CODE_ENABLE_TODO_TOOLS": "1",  # newer models, and names the CLI does not know, have none of their own accord
    "CLAUDE_CODE_MAX_RETRIES": MAX_RETRIES,
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}
_PASSED_ON = ("ANTHROPIC_", "CLAUDE_CODE_")
"""Beginnings of the names of settings that become variables of the agent."""


class ClaudeCodeProvider:
    """See the module."""

    kind = KIND

    def __init__(self, binary: Path | None = None) -> None:
        """`binary` is looked for where it is not given: in the installed wheel, then on PATH."""
        self._binary = Binary("Claude Code", LEAST, "PADDOCK_CLAUDE_CODE_PATH", REMEDY, _installed, binary)
        self.capabilities = Capabilities(
            stream=True, stop=True, resume=True, human_loop=True, questions=True, todo=True, usage=True, steering=True
        )

    def readiness(self, settings: Mapping[str, str]) -> Readiness:
        return self._binary.readiness(_missing(settings))

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:
        return wanted or settings.get("ANTHROPIC_MODEL") or None

    def mounts(self) -> Mapping[str, str]:
        binary = self._binary.find()
        return {FOLDER: str(binary.parent)} if binary else {}

    def probes(self, launch: Launch) -> Sequence[Probe]:
        if launch.resume is None:
            return ()
        glob = f".claude/projects/*/{launch.resume.conversation_id}.jsonl"
        return (Probe(glob, f'"uuid":"{prompt_uuid(launch.run_id)}"'),)

    def command(self, launch: Launch) -> AgentCommand:
        passed = {name: value for name, value in launch.settings.items() if value and name.startswith(_PASSED_ON)}
        secrets = tuple(sorted(name for name in passed if any(word in name for word in SECRET_WORDS)))
        return AgentCommand(
            argv=self._argv(launch), env={**_ENVIRONMENT, **passed}, secrets=secrets, text_lines=TEXT_LINES
        )

    def begin(self, launch: Launch) -> Turn:
        return ClaudeCodeTurn(launch)

    def _argv(self, launch: Launch) -> list[str]:
        binary = self._binary.find()
        conversation = conversation_of(launch)
        return [
            f"{FOLDER}/{binary.name if binary else 'claude'}",
            "--print",
            "--verbose",
            "--input-format=stream-json",
            "--output-format=stream-json",
            "--include-partial-messages",
            "--permission-prompt-tool=stdio",
            "--permission-mode=default",
            "--setting-sources=",
            "--strict-mcp-config",
            f"--settings={orjson.dumps({'permissions': {'ask': ASK}}).decode()}",
            f"--disallowedTools={','.join(WITHHELD)}",
            f"--resume={conversation}" if launch.resume else f"--session-id={conversation}",
            *([f"--model={launch.model}"] if launch.model else []),
        ]


def _installed() -> Path | None:
    package = importlib.util.find_spec("claude_agent_sdk")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "_bundled" / "claude"
        if bundled.is_file():
            return bundled
    found = shutil.which("claude")
    return Path(found).resolve() if found else None


def _missing(settings: Mapping[str, str]) -> Failure | None:
    if not settings.get("ANTHROPIC_API_KEY") and not settings.get("ANTHROPIC_AUTH_TOKEN"):
        return Failure(
            FailureCode.AUTH_MISSING,
            "Claude Code has no key.",
            "Set ANTHROPIC_API_KEY (or ANTHROPIC_AUTH_TOKEN) in the environment or .env, then run `make up` again.",
        )
    address = settings.get("ANTHROPIC_BASE_URL")
    if address and not is_address(address):
        return Failure(
            FailureCode.SETUP_FAILED,
            "ANTHROPIC_BASE_URL is not an http or https address.",
            "Set it to an address such as https://api.anthropic.com, or unset it.",
        )
    return None
