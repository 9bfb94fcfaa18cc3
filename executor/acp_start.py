"""Starts an agent of the Agent Client Protocol: `python -I -S acp_start.py WORKSPACE COMMAND …`, standard library only.

The protocol names the working folder in its lines, as an absolute path. Where the sandbox shows the workspace at the path that
Paddock promises, this process becomes the agent. Where it cannot (no bubblewrap), it stays between the two and puts the real path
into `session/new` and `session/load`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import NoReturn

PROMISED = "/workspace"
_METHODS = ("session/new", "session/load")


def main(workspace: str, command: list[str]) -> NoReturn:
    if workspace == PROMISED:
        os.execvp(command[0], command)  # noqa: S606 - there is to be no shell
    agent = subprocess.Popen(command, stdin=subprocess.PIPE)
    signal.signal(signal.SIGTERM, lambda *_: agent.terminate())
    threading.Thread(target=_hand_on, args=(agent, workspace), daemon=True).start()
    code = agent.wait()
    os._exit(code if code >= 0 else 128 - code)  # the thread is reading: there is no other way out


def _hand_on(agent: subprocess.Popen[bytes], workspace: str) -> None:
    assert agent.stdin  # noqa: S101 - for the type checker: it is a pipe
    try:
        for line in sys.stdin.buffer:
            agent.stdin.write(_placed(line, workspace))
            agent.stdin.flush()
        agent.stdin.close()
    except BrokenPipeError:
        pass  # the agent is gone; its exit tells


def _placed(line: bytes, workspace: str) -> bytes:
    """Return the line with the real folder in it where it opens a session."""
    if not any(method.encode() in line[:200] for method in _METHODS):
        return line
    told = json.loads(line)
    if told.get("method") in _METHODS and told["params"].get("cwd") == PROMISED:
        told["params"]["cwd"] = workspace
        return json.dumps(told).encode() + b"\n"
    return line


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
