"""Writes the lock files of the agents from `cli/agents/versions.toml`. Called by `make lock`; needs uv and npm.

Runs under the machine's own Python: standard library only, imports nothing of ours.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "agents"
COMPILE = "uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url"


def main() -> None:
    versions = tomllib.loads((FOLDER / "versions.toml").read_text(encoding="utf-8"))
    for name, requirement in versions["pip"].items():
        lock_pip(name, requirement)
    for name, package in versions["npm"].items():
        lock_npm(name, package)


def lock_pip(name: str, requirement: str) -> None:
    """Write `NAME.txt` with the hashes of every platform, without dependencies: only the binary is wanted."""
    target = str(FOLDER / f"{name}.txt")
    argv = [*COMPILE.split(), "--no-deps", "--no-annotate", "-o", target, "-"]
    subprocess.run(argv, input=requirement, text=True, check=True)


def lock_npm(name: str, package: dict[str, Any]) -> None:
    """Write `NAME/package.json` and its lock, which names no registry."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    described = {"name": f"paddock-{name}", "private": True, **package}
    (folder / "package.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    argv = "npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund"
    subprocess.run(argv.split(), cwd=folder, check=True)


if __name__ == "__main__":
    main()
