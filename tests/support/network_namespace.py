"""Runs a program in a network namespace of its own, with a loopback and nothing else; all besides is as it was, the process too:
`python network_namespace.py PROGRAM ARGUMENT…`. Bubblewrap would stand between the program and whoever signals it."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import os
import socket
import struct
import subprocess
import sys

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
ENTER = (sys.executable, "-I", "-S", os.path.abspath(__file__))


@functools.cache
def usable() -> bool:
    """True where this user may make such a namespace."""
    return subprocess.run([*ENTER, "/bin/true"], capture_output=True, check=False, timeout=10).returncode == 0


def main(argv: list[str]) -> None:
    uid, gid = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
        sys.exit(f"no namespace: {os.strerror(ctypes.get_errno())}")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        fcntl.ioctl(end, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    os.execv(argv[0], argv)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
