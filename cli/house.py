"""Where this installation is: its checkout, its environment (with `.env`), the folders and files below PADDOCK_VAR."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from cli.errors import CommandFailed

if TYPE_CHECKING:
    from app.config import Settings

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class House:
    """The one-machine installation below `var`."""

    var: Path

    @property
    def run(self) -> Path:
        """Pids, locks and records of the processes."""
        return self.var / "run"

    @property
    def logs(self) -> Path:
        return self.var / "logs"

    @property
    def reports(self) -> Path:
        """What `paddock stress` found (`cli.stress`)."""
        return self.var / "reports"

    @property
    def owner_token(self) -> Path:
        """The owner's API token, written at first start for this machine's user alone."""
        return self.var / "owner-token"

    @property
    def fingerprint(self) -> Path:
        """What the running processes were started with (`cli.lifecycle.fingerprint_of`)."""
        return self.run / "fingerprint"

    @property
    def started(self) -> Path:
        """How the processes were started last (`cli.running`)."""
        return self.run / "started.json"

    def make(self) -> None:
        """Make the folders; CommandFailed where this user may not."""
        for folder in (self.var, self.run, self.logs):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CommandFailed(
                    f"{folder} cannot be made.",
                    detail=str(error),
                    remedy="Choose another folder: PADDOCK_VAR=/path make up",
                ) from error


def enter() -> House:
    """Complete the environment from the checkout's `.env` (what is set already wins) and return the installation.

    A relative PADDOCK_VAR is relative to the checkout, from whatever folder the command is called.
    """
    for name, value in dotenv_values(ROOT / ".env").items():
        if value is not None:
            os.environ.setdefault(name, value)
    var = var_of()
    os.environ["PADDOCK_VAR"] = str(var)
    return House(var)


def var_of() -> Path:
    """Return the folder that the environment or `.env` names."""
    named = (
        os.environ["PADDOCK_VAR"] if "PADDOCK_VAR" in os.environ else dotenv_values(ROOT / ".env").get("PADDOCK_VAR")
    )
    return ROOT / Path(named or "var").expanduser()


def settings() -> Settings:
    """Read the settings; CommandFailed names the ones that are wrong."""
    from pydantic import ValidationError

    from app import config

    try:
        return config.load()
    except ValidationError as error:
        wrong = "\n".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
        raise CommandFailed(
            "A setting is wrong.",
            detail=wrong,
            remedy="Mend it in the environment or in .env; docs/operations.md has them all.",
        ) from error
    except OSError as error:  # a file that X_FILE names
        raise CommandFailed("A file that holds a secret cannot be read.", detail=str(error)) from error


def address() -> str:
    """Return the address of web on this machine, as the environment has it."""
    host = os.environ.get("PADDOCK_HOST") or "127.0.0.1"
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{shown}:{os.environ.get('PADDOCK_PORT') or '8000'}"


def tail(path: Path, lines: int) -> str:
    """Return the last lines of a log; empty where there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
