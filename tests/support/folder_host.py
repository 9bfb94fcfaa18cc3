"""Sandboxes that are folders: real files, no processes. What services do with files is tested on them quickly, and cut off at
will; the same tests run on the real local sandbox too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from app.domain.manifest import RACY_SECONDS, Entry, Manifest, Root
from app.domain.paths import path_outside, workspace_path
from app.domain.turn import Probe, ProbeResult
from app.errors import Conflict, Invalid, NotFound
from app.ports import CommandResult, ExecutorError, SandboxSpec


class FolderHost:
    """An executor's files, without its agents. `before_content` is called between scan and content, `reads` counts hashed bytes."""

    def __init__(self, folder: Path, generation: int) -> None:
        self.folder, self.generation = folder, generation
        self.alive = True
        self.halted = False
        self.reads = 0
        self.before_content: Callable[[], None] = lambda: None
        self.calls: list[str] = []

    def root(self, root: str) -> Path:
        return self.folder / root

    def health(self) -> Mapping[str, Any]:
        self._called("health")
        return {"status": "ok", "generation": self.generation}

    def link_agent_data(self, probes: Sequence[Probe]) -> list[ProbeResult]:
        self._called("link")
        found = []
        for probe in probes:
            texts = [path.read_text(encoding="utf-8") for path in self.root("agent").glob(probe.glob)]
            found.append(ProbeResult(bool(texts), any(probe.contains in text for text in texts)))
        return found

    def validate(self, required_paths: Sequence[str]) -> list[str]:
        return [path for path in required_paths if not (self.root("workspace") / workspace_path(path)).exists()]

    def scan(self, roots: Sequence[Root], *, reason: str, known: Manifest | None = None) -> Manifest:
        self._called(f"scan:{reason}")
        at = time.time()
        return Manifest({root: tuple(self._entries(root, known)) for root in roots}, at, fuzzy=False)

    def content(self, manifest: Manifest, wanted: Iterable[str]) -> Iterator[tuple[str, BinaryIO, int]]:
        self._called("content")
        self.before_content()
        left = set(wanted)
        for root, entry in manifest.entries():
            path = self.root(root) / entry.path
            if entry.sha256 not in left or not path.is_file() or _stamp(path.lstat()) != entry.stamp:
                continue
            left.discard(entry.sha256)
            self._called(f"content:{entry.path}")
            with path.open("rb") as stream:
                yield entry.sha256, stream, entry.size

    def stage(self, blobs: Iterable[tuple[str, BinaryIO, int]]) -> int:
        self._called("stage")
        taken = 0
        for sha256, stream, size in blobs:
            data = stream.read()
            if hashlib.sha256(data).hexdigest() != sha256 or len(data) != size:
                raise ExecutorError("http", "/workspace/stage", 1, 1, status=422, code="wrong_hash")
            (self._staged() / sha256).write_bytes(data)
            taken += 1
        return taken

    def restore(self, manifest: Manifest, *, clean: bool) -> list[str]:
        self._called("restore")
        missing = [sha256 for sha256 in manifest.hashes() if not (self._staged() / sha256).exists()]
        if missing:
            return missing
        for root, entries in manifest.trees.items():
            if clean:
                shutil.rmtree(self.root(root))
                self.root(root).mkdir()
            for entry in entries:
                self._called(f"restore:{entry.path}")
                self._write(root, entry)
            for entry in reversed(entries):
                if entry.type == "dir":
                    (self.root(root) / entry.path).chmod(entry.mode)
        shutil.rmtree(self._staged())
        return []

    def freeze(self, frozen: bool) -> int:
        self._called("freeze")
        self.halted = self.halted and frozen
        return 0

    def halt(self) -> int:
        self._called("halt")
        self.halted = True
        return 0

    def seed(
        self, *, bundle: BinaryIO | None = None, url: str | None = None, ref: str | None = None
    ) -> Mapping[str, str]:
        self._called("seed")
        workspace = self.root("workspace")
        with tempfile.NamedTemporaryFile(suffix=".bundle") as file:
            if bundle is not None:
                shutil.copyfileobj(bundle, file)
                file.flush()
            command = ["git", "clone", "-q", file.name if bundle is not None else str(url), str(workspace)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExecutorError("http", "/workspace/seed", 1, 1, status=422, code="clone_failed", message=done.stderr)
        head = subprocess.run(
            ["git", "-C", str(workspace), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        return {"head": head.stdout.strip(), "branch": ref or ""}

    def tree(self, root: Root, path: str) -> list[Mapping[str, Any]]:
        self._called("tree")
        folder = self.root(root) / workspace_path(path)
        if not folder.is_dir():
            raise NotFound("folder")
        entries = [entry for entry in self._entries(root, None) if str(Path(entry.path).parent) == (path or ".")]
        return [{"path": e.path, "type": e.type, "mode": e.mode, "size": e.size, "target": e.target} for e in entries]

    def read_file(self, path: str, *, offset: int, limit: int) -> tuple[bytes, Mapping[str, Any]]:
        self._called("read_file")
        root = self.root("workspace").resolve()
        file = (root / workspace_path(path)).resolve()
        if not file.is_relative_to(root):
            raise path_outside()
        if file.is_dir():
            raise Invalid("not_a_file", "a folder")
        if not file.is_file():
            raise NotFound("file")
        with file.open("rb") as stream:
            stream.seek(offset)
            facts = {"size": file.stat().st_size, "mode": stat.S_IMODE(file.stat().st_mode)}
            return stream.read(limit), facts

    def write_file(self, path: str, data: bytes) -> None:
        if self.halted:
            raise Conflict("worker_not_active", "the sandbox is being stopped")
        (self.root("workspace") / workspace_path(path)).write_bytes(data)

    def diff(self, baseline: str | None = None) -> Mapping[str, Any]:
        self._called("diff")
        raise ExecutorError("http", "/workspace/diff", 1, 1, status=501, code="no_git")

    def execute(self, command: str, *, cwd: str, timeout_ms: int) -> CommandResult:
        raise NotImplementedError

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if not self.alive:
            raise ExecutorError("network", name, 1, 1)

    def _staged(self) -> Path:
        staged = self.folder / "staged"
        staged.mkdir(exist_ok=True)
        return staged

    def _write(self, root: str, entry: Entry) -> None:
        path = self.root(root) / entry.path
        if entry.type == "dir":
            path.mkdir(mode=0o700)
        elif entry.type == "symlink":
            path.symlink_to(str(entry.target))
        else:
            shutil.copyfile(self._staged() / str(entry.sha256), path)
            path.chmod(entry.mode)

    def _entries(self, root: Root, known: Manifest | None) -> list[Entry]:
        before = {entry.path: entry for entry in known.tree(root)} if known else {}
        racy = (known.scanned_at - RACY_SECONDS) * 1e9 if known else 0.0
        top = self.root(root)
        found = []
        for path in sorted(top.rglob("*"), key=lambda each: each.relative_to(top).parts):
            name, facts = path.relative_to(top).as_posix(), path.lstat()
            mode = stat.S_IMODE(facts.st_mode)
            if path.is_symlink():
                found.append(Entry(name, "symlink", mode, target=os.readlink(path)))
            elif path.is_dir():
                found.append(Entry(name, "dir", mode))
            else:
                old = before.get(name)
                same = old is not None and old.stamp == _stamp(facts) and facts.st_ctime_ns < racy
                sha256 = old.sha256 if old is not None and same else self._hash(path)
                found.append(Entry(name, "file", mode, facts.st_size, sha256, stamp=_stamp(facts)))
        return found

    def _hash(self, path: Path) -> str:
        data = path.read_bytes()
        self.reads += len(data)
        return hashlib.sha256(data).hexdigest()


class FolderSandboxes:
    """`Sandboxes` over folders. `kill` ends an executor as `kill -9` would, its files stay."""

    def __init__(self, folder: Path, make: Callable[[Path, int], FolderHost] = FolderHost) -> None:
        self._folder, self._make = folder, make
        self._folder.mkdir(parents=True, exist_ok=True)
        self.hosts: dict[str, FolderHost] = {}
        self._latest: dict[str, int] = {}

    def start(self, spec: SandboxSpec) -> Any:
        found = self.hosts.get(spec.name)
        if found is not None and found.generation == spec.generation:
            return found
        if found is not None and found.generation > spec.generation:
            raise ExecutorError("http", "start", 1, 1, status=409, code="wrong_generation")
        self.kill(spec.name)
        for part in ("workspace", "agent"):
            (self._folder / spec.name / part).mkdir(parents=True, exist_ok=True)
        self._latest[spec.name] = spec.generation
        self.hosts[spec.name] = self._make(self._folder / spec.name, spec.generation)
        return self.hosts[spec.name]

    def connect(self, name: str) -> Any:
        return self.hosts.get(name)

    def stop(self, name: str, generation: int) -> None:
        if self._latest.get(name, 0) <= generation:
            self.kill(name)

    def remove(self, name: str, generation: int) -> None:
        if self._latest.get(name, 0) > generation:
            raise ExecutorError("http", "remove", 1, 1, status=409, code="wrong_generation")
        self.kill(name)
        shutil.rmtree(self._folder / name, ignore_errors=True)

    def exists(self, name: str) -> bool:
        return (self._folder / name).is_dir()

    def list_running(self) -> list[str]:
        return list(self.hosts)

    def kill(self, name: str) -> None:
        host = self.hosts.pop(name, None)
        if host is not None:
            host.alive = False


def _stamp(facts: os.stat_result) -> tuple[int, int, int, int]:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino
