"""What only the shell of `make up` knew: other shells find the installation, and the next `make up` does not forget it in silence."""

from __future__ import annotations

import json
import subprocess

from tests.support.stack import COMMAND, ROOT, Stack, stack

KEY = {"ANTHROPIC_API_KEY": "sk-only-in-that-shell"}


def from_a_plain_shell(running: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell that knows the folder and nothing else."""
    plain = {name: value for name, value in running.environment.items() if name not in ("PADDOCK_PORT", *running.env)}
    return subprocess.run(
        [*COMMAND, *words], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=120, check=False
    )


def claude_code_of(done: subprocess.CompletedProcess[str]) -> str:
    return next(each["state"] for each in json.loads(done.stdout)["findings"] if each["subject"] == "claude-code")


def test_what_make_up_alone_was_told_holds_until_the_next_start_from_nothing() -> None:
    with stack(KEY) as running:
        assert from_a_plain_shell(running, "run", "--provider", "scripted", "hello").returncode == 0
        assert running.url in from_a_plain_shell(running, "status").stdout
        assert claude_code_of(from_a_plain_shell(running, "doctor", "--json")) == "ok"

        before = running.processes()
        again = from_a_plain_shell(running, "up")
        assert again.returncode == 0, again.stderr
        assert running.processes() == before
        assert "goes on with ANTHROPIC_API_KEY, PADDOCK_PORT" in again.stderr
        assert running.url in again.stdout

        changed = running.paddock("up", env={"ANTHROPIC_API_KEY": "", "PADDOCK_LOG_LEVEL": "DEBUG"})
        assert "settings or code have changed" in changed.stderr
        assert claude_code_of(from_a_plain_shell(running, "doctor", "--json")) == "warning"

        running.up()
        running.down()
        del running.env["ANTHROPIC_API_KEY"]
        fresh = running.paddock("up")
        assert "the last start was given ANTHROPIC_API_KEY" in fresh.stderr
