"""What changed in the workspace since it was seeded, by git, in a repository and an index of the executor's own.

The workspace's own `.git`, its index and its hooks are never touched; its attributes cannot run anything, because every
configuration is ours.
"""

from __future__ import annotations

import os
from typing import Any

from executor.command import text
from executor.files import Tree
from executor.git import Git, GitFailed
from executor.scan import Scan
from executor.spawner import Spawner
from executor.text_paths import to_text

_PATCH_LIMIT = 4 * 1024 * 1024
_NOTHING_FROM_ELSEWHERE = "GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none"
"""For the one git that reads the workspace's own repository: content that is missing there is not asked of a remote, which could name
a command to run."""


class Baseline:
    """The state that a diff compares with: the seed's commit, or nothing at all."""

    def __init__(self, spawner: Spawner, workspace: Tree, state: str) -> None:
        self._spawner, self._workspace = spawner, workspace
        self._folder = os.path.join(state, "baseline.git")
        self._index = os.path.join(self._folder, "index")

    def take(self, commit: str) -> None:
        """Keep `commit` of the workspace's repository; raises GitFailed."""
        self._ensure()
        upload = f"{_NOTHING_FROM_ELSEWHERE} git -c uploadpack.allowAnySHA1InWant=true -c safe.directory=* upload-pack"
        self._git(allowed=["file"]).run(
            "fetch", "--quiet", "--no-tags", "--depth=1", f"--upload-pack={upload}", self._workspace.path, commit
        )
        self._git().run("update-ref", "refs/paddock/baseline", commit)
        self._git().run("read-tree", commit)

    def commit(self) -> str | None:
        """Return the commit, None where the baseline is the empty tree."""
        if not os.path.isdir(self._folder):
            return None
        try:
            return self._git().line("rev-parse", "--verify", "--quiet", "refs/paddock/baseline")
        except GitFailed:
            return None

    def diff(self, commit: str | None) -> dict[str, Any]:
        """Compare the workspace with the baseline, or with `commit` where there is no baseline yet (a restored sandbox)."""
        self._ensure()
        baseline = self.commit()
        if baseline is None and commit is not None:
            self.take(commit)
            baseline = commit
        index = self._index + ".diff"
        try:
            return {"baseline": baseline, **self._compare(index)}
        finally:
            if os.path.exists(index):
                os.unlink(index)

    def _compare(self, index: str) -> dict[str, Any]:
        self._refresh()
        if os.path.exists(self._index):
            with open(self._index, "rb") as kept, open(index, "wb") as copy:
                copy.write(kept.read())
        self._git(index=index).run("add", "--intent-to-add", "--ignore-removal", "--", ".")
        try:
            return self._changes(index, [])
        except GitFailed:  # git gives up on the first file that cannot be read
            return self._changes(index, [f":(exclude,literal){path}" for path in self._unreadable()])

    def _changes(self, index: str, pathspecs: list[str]) -> dict[str, Any]:
        options = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=all")
        places = ("--", ".", *pathspecs)
        raw = self._git(index=index).run("diff", *options, "--raw", "--numstat", "-z", *places)
        git = self._git(index=index, limit=_PATCH_LIMIT)
        patch = git.finish("diff", *options, "--patch", "--full-index", *places)
        return {"patch": text(patch.stdout), "truncated": patch.truncated, "files": _files(raw)}

    def _unreadable(self) -> list[str]:
        root = self._workspace.path
        return [path for path in Scan(self._workspace).names() if not os.access(os.path.join(root, path), os.R_OK)]

    def _refresh(self) -> None:
        """Note sizes and times of unchanged files in the kept index, so that the next diff need not read them again."""
        try:
            self._git().run("update-index", "-q", "--refresh")
        except GitFailed:
            return  # its exit code says that something differs

    def _ensure(self) -> None:
        if not os.path.isdir(self._folder):
            os.makedirs(self._folder, 0o700)
            Git(self._spawner, self._folder).run("init", "--quiet", "--bare", "--template=", self._folder)

    def _git(self, *, index: str = "", limit: int = 64 * 1024 * 1024, allowed: list[str] | None = None) -> Git:
        variables = {
            "GIT_DIR": self._folder,
            "GIT_WORK_TREE": self._workspace.path,
            "GIT_INDEX_FILE": index or self._index,
        }
        return Git(self._spawner, self._workspace.path, variables, allowed or (), seconds=120.0, limit=limit)


def _files(raw: bytes) -> list[dict[str, Any]]:
    """Read `--raw --numstat -z`: `:modes hashes STATUS NUL path NUL …` then `added TAB deleted TAB path NUL …`."""
    parts = [text_or_escape(part) for part in raw.split(b"\0")]
    status: dict[str, str] = {}
    counts: dict[str, tuple[int | None, int | None]] = {}
    at = 0
    while at < len(parts) and parts[at]:
        if parts[at].startswith(":"):
            status[parts[at + 1]] = {"A": "added", "D": "deleted"}.get(parts[at].split()[-1][0], "modified")
            at += 2
        else:
            added, deleted, path = parts[at].split("\t", 2)
            counts[path] = (_count(added), _count(deleted))
            at += 1
    return [
        {
            "path": path,
            "status": how,
            "additions": counts.get(path, (0, 0))[0],
            "deletions": counts.get(path, (0, 0))[1],
        }
        for path, how in sorted(status.items())
    ]


def text_or_escape(part: bytes) -> str:
    return to_text(os.fsdecode(part))


def _count(number: str) -> int | None:
    """Return a number of lines, None for a binary file."""
    return None if number == "-" else int(number)
