"""Puts OpenCode, which speaks HTTP, on lines: started as the agent, it starts `opencode serve` as its child, waits until that
listens, and owns HTTP, server-sent events and reconnecting (ARCHITECTURE decision 5). It knows no meaning of what it carries.

Started as `python -I -S opencode_bridge.py BINARY`, standard library only. The server listens on loopback, with a password that is made
here and told nobody. This file loads next to nothing, because an agent's start waits for it; `opencode_http` is loaded while the server
gets ready.

In:  {type: request, id, method, path, body?}
Out: {type: refused, paths} and the end, where the working directory configures the server · {type: ready} once, when events flow ·
     {type: event, event} · {type: response, id, status, body} (status 0: no answer, the body says why) · {type: resync} after each
     reconnect: events may have been missed
"""

from __future__ import annotations

import os
import sys

SETTINGS = (".opencode", "opencode.json", "opencode.jsonc")
"""What the server (1.18.33) reads of its working directory, and runs the plugins of, whatever it is told."""
IGNORED = (13, 25)
"""SIGPIPE and SIGXFSZ: Python ignores them, and a child would inherit that."""


def main(binary: str) -> int:
    planted = [name for name in SETTINGS if os.path.lexists(name)]
    server = None if planted else start(binary)
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from executor.opencode_http import Bridge, refuse

    return refuse(planted) if server is None else Bridge(*server).run() % 256


def start(binary: str) -> tuple[int, int, str]:
    """Start the server; return its process, the descriptor of what it prints, and its password."""
    password = os.urandom(24).hex()
    output, inner = os.pipe()
    pid = os.posix_spawn(
        binary,
        [binary, "serve", "--hostname", "127.0.0.1", "--port", "0"],
        {**os.environ, "OPENCODE_SERVER_PASSWORD": password},
        file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, inner, 1)],
        setsigdef=IGNORED,
    )
    os.close(inner)
    return pid, output, password


if __name__ == "__main__":
    status = main(sys.argv[1])
    os._exit(status)  # at once: the interpreter's own end aborts where a thread still waits for a line of stdin
