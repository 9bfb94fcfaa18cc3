"""The command line that puts an executor into a sandbox of its own, and whether this machine can do that."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SandboxMode = Literal["bubblewrap", "plain"]
PYTHON = "/opt/paddock/python"
"""The interpreter as every sandbox names it, whatever it is outside."""
PACKAGE = "/opt/paddock/executor"
"""The executor's package as every sandbox names it."""
EXECUTOR_FOLDER = Path(__file__).resolve().parents[2] / "executor"

_LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SECRET_FILES = ("shadow", "shadow-", "gshadow", "gshadow-", "sudoers", "krb5.keytab")
_SECRET_FOLDERS = ("ssl/private", "ssh", "sudoers.d", "wireguard")
_ACCOUNTS = (
    "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
)
_GROUPS = "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"


def sandbox_mode(bubblewrap: str = "auto") -> SandboxMode:
    """Return what local sandboxes are here; `bubblewrap` is the setting PADDOCK_BUBBLEWRAP (`auto` or `off`)."""
    return "bubblewrap" if bubblewrap != "off" and bubblewrap_usable() else "plain"


@functools.cache
def bubblewrap_usable() -> bool:
    """True where bubblewrap is there and may make the namespaces we need. Tried once per process."""
    if shutil.which("bwrap") is None:
        return False
    command = ["bwrap", *_namespaces(), *_system(), "--proc", "/proc", "--dev", "/dev", "--", "/usr/bin/env"]
    try:
        tried = subprocess.run(command, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python for the executor: `path`, and the folder outside /usr that must be shown for it to work."""

    path: str
    prefix: str | None = None


@functools.cache
def find_interpreter() -> Interpreter:
    """Return the Python that Paddock itself rests on where that is below /usr, else the system's, else Paddock's own prefix."""
    own = os.path.realpath(sys.executable)
    if own.startswith("/usr/"):
        return Interpreter(own)
    if _is_recent("/usr/bin/python3"):
        return Interpreter(os.path.realpath("/usr/bin/python3"))
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return Interpreter(str(base) if base.exists() else own, sys.base_prefix)


def _is_recent(python: str) -> bool:
    if not Path(python).exists():
        return False
    question = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-I", "-S", "-c", question], check=False, timeout=10).returncode == 0


@dataclass(frozen=True, slots=True)
class Box:
    """What one sandbox shows: `folder` holds workspace/, agent/, state/, run/ and etc/; `mounts` path inside -> path outside."""

    folder: Path
    mounts: Mapping[str, str]
    info_fd: int
    status_fd: int


def _agents(mounts: Mapping[str, str]) -> list[str]:
    """Show what agents are installed; one that is not there keeps no other from starting."""
    return [part for inside, outside in sorted(mounts.items()) for part in ("--ro-bind-try", outside, inside)]


def command_line(box: Box, interpreter: Interpreter) -> list[str]:
    """Return bwrap and its arguments up to the program to run.

    The executor becomes process 1 of its PID namespace, so nothing survives it. Not `--die-with-parent`: it survives the worker
    that started it.
    """
    _write_accounts(box.folder / "etc")
    return [
        "bwrap",
        *_namespaces(),
        *("--unshare-ipc", "--unshare-uts", "--hostname", "paddock", "--as-pid-1"),
        *_system(),
        *("--ro-bind", "/etc", "/etc"),
        *_masks(),
        *("--ro-bind", str(box.folder / "etc/passwd"), "/etc/passwd"),
        *("--ro-bind", str(box.folder / "etc/group"), "/etc/group"),
        *_resolver(),
        *("--proc", "/proc", "--dev", "/dev"),
        *("--perms", "1777", "--tmpfs", "/tmp", "--perms", "1777", "--tmpfs", "/var/tmp"),  # noqa: S108 - the sandbox's own
        *("--bind", str(box.folder / "workspace"), "/workspace"),
        *("--bind", str(box.folder / "agent"), "/home/agent"),
        *("--bind", str(box.folder / "state"), "/state"),
        *("--bind", str(box.folder / "run"), "/run/paddock"),
        *("--ro-bind", str(EXECUTOR_FOLDER), PACKAGE),
        *(("--ro-bind", interpreter.prefix, interpreter.prefix) if interpreter.prefix else ()),
        *("--symlink", interpreter.path, PYTHON),
        *_agents(box.mounts),
        *(
            "--chdir",
            "/",
            "--clearenv",
            "--setenv",
            "LANG",
            "C.UTF-8",
            "--setenv",
            "PATH",
            "/usr/local/bin:/usr/bin:/bin",
        ),
        *("--info-fd", str(box.info_fd), "--json-status-fd", str(box.status_fd), "--"),
    ]


def _namespaces() -> list[str]:
    return ["--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--cap-drop", "ALL"]


def _system() -> list[str]:
    """Show /usr, and /bin, /lib and their like as this machine has them."""
    shown = ["--ro-bind", "/usr", "/usr"]
    for name in _LINKED:
        path = Path("/", name)
        if path.is_symlink():
            shown += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            shown += ["--ro-bind", str(path), str(path)]
    return shown


def _masks() -> list[str]:
    """Hide what in /etc is readable for our user only: started as root, the sandbox would own it."""
    hidden = [
        part
        for name in _SECRET_FILES
        if Path("/etc", name).exists()
        for part in ("--ro-bind", "/dev/null", f"/etc/{name}")
    ]
    return hidden + [
        part for name in _SECRET_FOLDERS if Path("/etc", name).is_dir() for part in ("--tmpfs", f"/etc/{name}")
    ]


def _resolver() -> list[str]:
    """Show the file that /etc/resolv.conf leads to where that is outside /etc."""
    target = os.path.realpath("/etc/resolv.conf")
    return [] if target.startswith("/etc/") or not Path(target).exists() else ["--ro-bind", target, target]


def _write_accounts(folder: Path) -> None:
    folder.mkdir(mode=0o755, exist_ok=True)
    (folder / "passwd").write_text(_ACCOUNTS, encoding="ascii")
    (folder / "group").write_text(_GROUPS, encoding="ascii")
