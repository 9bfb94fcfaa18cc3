"""What the running installation was started with, so that another shell need not say it again.

A start notes its address and the names of the variables that it was given (`run/started.json`). Values are read from the
supervisor itself: no secret is written down. Nothing is started or stopped here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from cli.house import ROOT, House, enter, var_of
from cli.supervisor import Record

ADDRESS_NAMES = ("PADDOCK_HOST", "PADDOCK_PORT", "PADDOCK_PUBLIC_URL")
NOT_NOTED = ("PADDOCK_VAR", "PADDOCK_BOOTSTRAP_TOKEN", "PADDOCK_BOOTSTRAP_TOKEN_FILE")
"""Which installation it is, and what counts at the very first start only."""


@dataclass(frozen=True, slots=True)
class Started:
    """The last start: where web listens, all variables of ours that it was given, and those of them that were not from `.env`."""

    address: Mapping[str, str]
    names: tuple[str, ...]
    shell: tuple[str, ...]


def note(house: House) -> None:
    """Write down how this process's environment, `.env` included, is about to start the installation."""
    given = [name for name in _all_names() if os.environ.get(name)]
    given = [name for name in given if f"{name}_FILE" not in given]  # the file says what the secret is
    lasting = dotenv_values(ROOT / ".env")
    facts = {
        "address": {name: os.environ[name] for name in ADDRESS_NAMES if os.environ.get(name)},
        "names": given,
        "shell": [name for name in given if lasting.get(name) != os.environ[name]],
    }
    house.started.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def join_address() -> House:
    """Enter the installation that runs here at the address it was started with. What this shell says itself comes first, `.env` last."""
    found = House(var_of())
    for name in ADDRESS_NAMES:
        _set_default(name, _in_force(found).get(name))
    return enter()


def join_settings() -> House:
    """As `join_address`, with all that was in force when it was started."""
    found = House(var_of())
    for name, value in _in_force(found).items():
        _set_default(name, value)
    return enter()


def keep(house: House) -> list[str]:
    """Before a start over running processes: put back what only the shell of the last start knew, and return the names.

    What this shell or `.env` says wins, also where it is set to nothing; what has gone from `.env` is gone.
    """
    values, shell = _in_force(house), _read(house).shell
    kept = []
    for name in _unsaid(shell):
        if name in values:
            os.environ[name] = values[name]
            kept.append(name)
    return kept


def missing(house: House) -> list[str]:
    """Before a start from nothing: return what the shell of the last start knew and nobody says now."""
    return _unsaid(_read(house).shell)


def others(house: House) -> list[Path]:
    """Return the folders of other installations of this checkout that run on this machine."""
    found = set()
    for entry in Path("/proc").iterdir():
        words = _words(entry / "cmdline") if entry.name.isdigit() else []
        if "cli.supervisor" in words and str(ROOT / "Procfile") in words and "--run" in words:
            found.add(Path(words[words.index("--run") + 1]).parent)
    return sorted(found - {house.var})


def where_else(house: House) -> str:
    """Return a sentence that names the other installations; empty where there is none."""
    return "".join(f"Another installation runs: PADDOCK_VAR={path}. " for path in others(house))


def _in_force(house: House) -> dict[str, str]:
    """Return the variables of the running installation; empty where none runs."""
    supervisor = Record(house.run).supervisor()
    if supervisor is None:
        return {}
    started = _read(house)
    pairs = (word.partition("=") for word in _words(Path(f"/proc/{supervisor.pid}/environ")))
    values = {name: value for name, _, value in pairs}
    return {**started.address, **{name: values[name] for name in started.names if name in values}}


def _read(house: House) -> Started:
    try:
        facts = json.loads(house.started.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return Started({}, (), ())
    return Started(facts["address"], tuple(facts["names"]), tuple(facts["shell"]))


def _unsaid(names: Iterable[str]) -> list[str]:
    """Return those of the variables whose setting is given in no form now."""
    from app import config

    silent = [group for group in config.names_of_settings().values() if not any(name in os.environ for name in group)]
    return [name for name in names if any(name in group for group in silent)]


def _all_names() -> list[str]:
    from app import config  # late: it brings pydantic, which a client's command must not wait for

    names = {name for group in config.names_of_settings().values() for name in group}
    return sorted(names.difference(NOT_NOTED))


def _set_default(name: str, value: str | None) -> None:
    if value is not None:
        os.environ.setdefault(name, value)


def _words(path: Path) -> list[str]:
    """Return the words of a file in /proc; none where it is gone or not ours to read."""
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return []
