"""Filling an empty workspace from a git repository: an uploaded bundle, or an address. Nothing half-made stays behind."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from executor.diff import Baseline
from executor.files import Tree, remove
from executor.git import Git, GitFailed
from executor.refusal import Refused
from executor.spawner import Spawner

_SECONDS = 600.0
_CHUNK = 256 * 1024
_ADDRESS = re.compile(r"(https|http|ssh|git\+ssh)://[^\s]+|[\w.-]+@[\w.-]+:[^\s]+")
_REF = re.compile(r"[A-Za-z0-9_][\w./@+-]*")


@dataclass(frozen=True, slots=True)
class Seeded:
    """`branch` is empty where a tag or a commit was asked for."""

    head: str
    branch: str

    def as_json(self) -> dict[str, str]:
        return {"head": self.head, "branch": self.branch}


class Seeding:
    """`state` is the executor's own folder: the bundle lies there while it is read, and `seed.json` remembers the answer."""

    def __init__(self, spawner: Spawner, workspace: Tree, state: str, baseline: Baseline) -> None:
        self._spawner, self._workspace, self._baseline = spawner, workspace, baseline
        self._bundle = os.path.join(state, "seed.bundle")
        self._record = os.path.join(state, "seed.json")

    def from_bundle(self, source: BinaryIO, ref: str | None) -> dict[str, str]:
        digest = hashlib.sha256()
        try:
            with open(self._bundle, "wb") as file:
                while part := source.read(_CHUNK):
                    digest.update(part)
                    file.write(part)
            return self._once(f"bundle {digest.hexdigest()} {ref}", lambda: self._clone(self._bundle, ["file"], ref))
        finally:
            if os.path.exists(self._bundle):
                os.unlink(self._bundle)

    def from_address(self, url: str, ref: str | None) -> dict[str, str]:
        if not _ADDRESS.fullmatch(url):
            raise Refused(422, "repository_unusable", "the address must be https or ssh")
        return self._once(f"url {url} {ref}", lambda: self._clone(url, ["https", "http", "ssh"], ref))

    def _once(self, request: str, clone: Callable[[], Seeded]) -> dict[str, str]:
        """Answer a repeated request as the first time: its answer may have been lost on the way."""
        try:
            with open(self._record, encoding="utf-8") as file:
                done = json.load(file)
        except (FileNotFoundError, ValueError):
            done = {}
        if done.get("request") == request:
            answer: dict[str, str] = done["answer"]
            return answer
        with self._workspace.folder([]) as root:
            if os.listdir(root):
                raise Refused(409, "workspace_not_empty", "only an empty workspace can be seeded")
        answer = self._guarded(clone)
        with open(self._record, "w", encoding="utf-8") as file:
            json.dump({"request": request, "answer": answer}, file)
        return answer

    def _guarded(self, clone: Callable[[], Seeded]) -> dict[str, str]:
        try:
            return clone().as_json()
        except GitFailed as error:
            self._empty()
            raise Refused(422, "repository_unusable", str(error)) from None
        except BaseException:
            self._empty()
            raise

    def _empty(self) -> None:
        with self._workspace.folder([]) as root:
            for name in os.listdir(root):
                remove(root, name)

    def _clone(self, source: str, protocols: list[str], ref: str | None) -> Seeded:
        if ref is not None and (not _REF.fullmatch(ref) or ".." in ref):
            raise GitFailed(f"{ref!r} is not the name of a ref")
        git = Git(self._spawner, self._workspace.path, allowed=protocols, seconds=_SECONDS)
        git.run("clone", "--no-checkout", "--no-recurse-submodules", "--template=", "--", source, ".")
        seeded = self._check_out(git, ref)
        if source == self._bundle:
            git.run("remote", "remove", "origin")
        self._baseline.take(seeded.head)
        return seeded

    def _check_out(self, git: Git, ref: str | None) -> Seeded:
        branch = _branch(git, ref)
        if branch:
            git.run("checkout", "--force", "-B", branch, "--track", f"origin/{branch}")
        else:
            git.run("checkout", "--force", "--detach", _commit(git, ref or "HEAD"))
        return Seeded(git.line("rev-parse", "HEAD"), branch)


def _branch(git: Git, ref: str | None) -> str:
    """Return the branch that `ref` names; without one the default branch, or the only one. Empty where it names no branch."""
    listed = git.line("for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/origin").splitlines()
    branches = [name for name in listed if name != "HEAD"]
    if ref is not None:
        return ref.removeprefix("refs/heads/") if ref.removeprefix("refs/heads/") in branches else ""
    try:
        return git.line("symbolic-ref", "--short", "refs/remotes/origin/HEAD").removeprefix("origin/")
    except GitFailed:
        usual = [name for name in ("main", "master") if name in branches] or branches
    if not usual:
        raise GitFailed("the repository has no branch") from None
    return usual[0]


def _commit(git: Git, ref: str) -> str:
    for name in (f"refs/tags/{ref}", ref):
        try:
            return git.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        except GitFailed:
            continue
    raise GitFailed(f"the repository has no ref {ref!r}")
