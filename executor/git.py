"""Git, as an untrusted repository must be met: no hooks, no configuration but ours, no prompts, no helpers, no local protocols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from executor import command
from executor.spawner import Command, Spawner

_SAFE = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "credential.helper": "",
    "protocol.allow": "never",
    "safe.directory": "*",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "init.defaultBranch": "main",
}
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "SSH_ASKPASS": "/bin/false",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=accept-new -oUserKnownHostsFile=/dev/null",
    "GIT_NO_REPLACE_OBJECTS": "1",
}


class GitFailed(Exception):
    """Git did not do it; the message is its own."""


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in `cwd`; `variables` join the environment. `allowed` are the protocols it may speak (`https`, `ssh`, `file`)."""

    spawner: Spawner
    cwd: str
    variables: Mapping[str, str] = field(default_factory=dict)
    allowed: Sequence[str] = ()
    seconds: float = 60.0
    limit: int = 64 * 1024 * 1024

    def run(self, *arguments: str) -> bytes:
        """Return what git printed; GitFailed with its reason."""
        return self.finish(*arguments).stdout

    def line(self, *arguments: str) -> str:
        return command.text(self.run(*arguments)).strip()

    def finish(self, *arguments: str) -> command.Finished:
        settings = _SAFE | {f"protocol.{name}.allow": "always" for name in self.allowed}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        env = {**_ENVIRONMENT, **self.variables}
        away = any(name != "file" for name in self.allowed)
        argv = ["git", *options, *arguments]
        asked = Command(argv, env, self.cwd, hidden=False, network="open" if away else "none")
        try:
            done = command.run(self.spawner, asked, seconds=self.seconds, limit=self.limit)
        except FileNotFoundError as error:
            raise GitFailed(f"git could not be started: {error.strerror}") from error
        if done.code != 0:
            raise GitFailed("git took too long" if done.timed_out else _reason(done.stderr))
        return done


def _reason(stderr: bytes) -> str:
    lines = [line for line in command.text(stderr).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return "; ".join((telling or lines[-3:] or ["git failed without a reason"])[:3])
