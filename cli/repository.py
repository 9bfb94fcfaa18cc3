"""What `--repo` means: an address to clone, or a repository on this machine whose history is sent as a git bundle."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import CommandFailed

_SCP_FORM = re.compile(r"^(?:[\w.-]+@)?[\w.-]+:(?!//)\S+$")


def address_of(repo: str) -> str | None:
    """Return the address that `repo` is, None where it is a path. `git@host:path` becomes ssh://git@host/path."""
    if repo.startswith("file://") or Path(repo).expanduser().exists():
        return None
    if "://" in repo:
        return repo
    if _SCP_FORM.match(repo):
        host, _, path = repo.partition(":")
        return f"ssh://{host}/{path.lstrip('/')}"
    return None


@contextmanager
def bundled(path: str, ref: str | None) -> Iterator[tuple[Path, bool]]:
    """Write a bundle of the repository and yield its file and whether uncommitted changes stay behind.

    It holds HEAD and its branch; with `ref` all branches and tags, so that any commit of them can be checked out.
    """
    folder = Path(path.removeprefix("file://")).expanduser()
    found = git(folder, "rev-parse", "--git-dir") if folder.is_dir() else None
    if found is None or found.returncode != 0:
        raise CommandFailed(
            f"{folder} is not a git repository.",
            detail=found.stderr.strip() if found else "there is no such folder",
            remedy="Give the path of a repository, or an https:// or ssh:// address.",
        )
    if git(folder, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode != 0:
        raise CommandFailed(f"{folder} has no commit yet.", remedy="Commit something first: git add -A && git commit")
    if git(folder, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        raise CommandFailed(f"{folder} is a shallow clone.", remedy="Fetch its history first: git fetch --unshallow")
    if ref and git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").returncode != 0:
        raise CommandFailed(f"{folder} has no commit {ref!r}.", remedy="Name a branch, a tag or a commit of it.")
    branch = git(folder, "symbolic-ref", "--quiet", "HEAD").stdout.strip()
    wanted = ["HEAD", "--branches", "--tags"] if ref else ["HEAD", *([branch] if branch else [])]
    with tempfile.TemporaryDirectory(prefix="paddock-") as scratch:
        bundle = Path(scratch) / "repository.bundle"
        done = git(folder, "bundle", "create", "--quiet", str(bundle), *wanted)
        if done.returncode != 0:
            raise CommandFailed(f"{folder} could not be bundled.", detail=done.stderr.strip())
        yield bundle, bool(git(folder, "status", "--porcelain").stdout.strip())


def git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise CommandFailed("git is not installed.", remedy="apt-get install -y git") from error
