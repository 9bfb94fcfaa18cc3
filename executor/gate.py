"""The last step before a fenced agent, in its network namespace: opens the door to its model, then becomes the agent.

`python gate.py FD PORT PROGRAM ARGUMENT…` listens on PORT of the namespace's loopback and hands the listening socket over the unix
socket FD to `executor.relay`, which serves it from outside. It loads next to nothing: every start of an agent waits for it.
"""

from __future__ import annotations

import _socket
import os
import sys

BACKLOG = 128


def main(descriptor: int, port: int, argv: list[str]) -> None:
    door = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    door.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    door.bind(("127.0.0.1", port))
    door.listen(BACKLOG)
    outside = _socket.socket(fileno=descriptor)
    handed = door.fileno().to_bytes(4, sys.byteorder)
    outside.sendmsg([b"x"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handed)])
    outside.close()
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted; the door's descriptor closes here


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
