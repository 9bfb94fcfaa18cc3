"""What all agents' binaries have in common: whether one starts and which version it is, and what an address looks like."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from app.domain.failure import Failure, FailureCode
from app.ports import Readiness

_VERSION = re.compile(r"\d+\.\d+\.\d+[\w.+-]*")


@dataclass(frozen=True, slots=True)
class Binary:
    """The program of one agent, `title` to people. `least` is the oldest version that its adapter is known to drive. It is the file
    `given` by the setting of that name, or what `installed` finds; `remedy` says how it gets installed."""

    title: str
    least: str
    setting: str
    remedy: str
    installed: Callable[[], Path | None]
    given: Path | None = None

    def find(self) -> Path | None:
        if self.given is not None:
            return self.given if self.given.is_file() else None
        return self.installed()

    def readiness(self, missing: Failure | None) -> Readiness:
        """Return whether it can start; `missing` is what it would lack then."""
        found = self.find()
        if found is None:
            return Readiness(False, None, self._not_there())
        version = version_of(found)
        if version is None:
            return Readiness(True, None, not_starting(found), str(found))
        return Readiness(True, version, too_old(self.title, version, self.least) or missing, str(found))

    def _not_there(self) -> Failure:
        if self.given is None:
            return Failure(FailureCode.SETUP_FAILED, f"{self.title} is not installed.", self.remedy)
        remedy = f"Let {self.setting} name {self.title}'s binary, or unset it."
        return Failure(FailureCode.SETUP_FAILED, f"There is no file {self.given}.", remedy)


def version_of(binary: Path) -> str | None:
    """Return the version that the binary tells, asked once for each binary; None where it does not start."""
    return _version(str(binary), binary.stat().st_mtime_ns)


def not_starting(binary: Path) -> Failure:
    return Failure(FailureCode.SETUP_FAILED, f"{binary} does not start.", "Install the agent again for this machine.")


def too_old(agent: str, version: str, least: str) -> Failure | None:
    """Return the failure of an agent (by its name for people) that is older than the oldest one that its adapter is known to drive."""
    if _numbers(version) >= _numbers(least):
        return None
    return Failure(
        FailureCode.SETUP_FAILED,
        f"{agent} {version} is older than {least}, the oldest that Paddock drives.",
        "Run `make agents`, or update the binary that your settings name.",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def is_address(text: str) -> bool:
    """True for an http or https address with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


@lru_cache(maxsize=16)
def _version(binary: str, _changed_ns: int) -> str | None:
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(told.stdout)
    return found[0] if found and told.returncode == 0 else None
