"""Starting an agent of the Agent Client Protocol, and finding out whether it can start.

Which agent, the operator says (`PADDOCK_ACP_COMMAND`), never a user. The agent's process begins in its HOME, not in the workspace, so
that nothing there is read before the session is opened; claude-agent-acp is told to read no settings of a repository either (see
tests/contract/providers). What another command reads there is the operator's to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from app.domain.turn import AgentCommand, Launch, Probe
from app.ports import Readiness, Turn
from app.providers.acp.agents import CLAUDE, WORKSPACE, agent_of
from app.providers.acp.turn import AcpTurn

KIND = "acp"
HOME = "/home/agent"
PASSED_ON = ("ANTHROPIC_", "OPENAI_")
SECRET_WORDS = ("KEY", "TOKEN")
_ENVIRONMENT = {
    "HOME": HOME,
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}


class AcpProvider:
    """See the module."""

    kind = KIND

    def __init__(self, settings: Mapping[str, str] | None = None, claude: Path | None = None) -> None:
        """`settings` are the operator's: `command`, `mounts`, `mode`; `claude` another Claude Code binary than the installed one."""
        self._agent = agent_of(settings or {}, claude)
        self.capabilities = self._agent.capabilities

    def readiness(self, settings: Mapping[str, str]) -> Readiness:
        agent = self._agent
        if agent.failure is not None:
            return Readiness(False, agent.version, agent.failure)
        if agent.native is None:
            return Readiness(True, agent.version, None, agent.argv[0])
        native = agent.native.readiness(settings)
        return Readiness(native.installed, agent.version or native.version, native.failure, native.binary)

    def model(self, wanted: str | None, settings: Mapping[str, str]) -> str | None:
        return self._agent.native.model(wanted, settings) if self._agent.native else wanted

    def mounts(self) -> Mapping[str, str]:
        return self._agent.mounts

    def probes(self, launch: Launch) -> Sequence[Probe]:
        """Ask for the transcript where it is known; whether it holds the prompt of this attempt is read from the replay (`history`)."""
        if launch.resume is None or self._agent.name != CLAUDE:
            return ()
        prompt = orjson.dumps(launch.prompt).decode()[1:-1] or '"type":"user"'
        return (Probe(f".claude/projects/*/{launch.resume.conversation_id}.jsonl", prompt),)

    def command(self, launch: Launch) -> AgentCommand:
        agent = self._agent
        if agent.native is None:
            passed = {name: text for name, text in launch.settings.items() if text and name.startswith(PASSED_ON)}
            env = {**_ENVIRONMENT, **passed}
            secrets = tuple(sorted(name for name in passed if any(word in name for word in SECRET_WORDS)))
        else:
            native = agent.native.command(launch)
            env, secrets = dict(native.env), native.secrets
            if agent.name == CLAUDE and launch.model:
                env["ANTHROPIC_MODEL"] = launch.model
        start = ["/opt/paddock/python", "-I", "-S", "/opt/paddock/executor/acp_start.py", WORKSPACE]
        return AgentCommand([*start, *agent.argv], {**env, **agent.env}, secrets, cwd=HOME)

    def begin(self, launch: Launch) -> Turn:
        return AcpTurn(launch, self._agent)
