"""The routes below `/workspace` and `/tty`: what they take and answer. The work is done in the modules they call."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, BinaryIO

from executor import command, protocol
from executor.diff import Baseline
from executor.files import Tree, remove, write_atomically
from executor.git import GitFailed
from executor.http1 import Request, Response, json_response
from executor.manifest_stream import ManifestStream
from executor.population import Population
from executor.refusal import Refused
from executor.restore import Restore, Stage
from executor.scan import Scan, content
from executor.seed import Seeding
from executor.server import Route, Server
from executor.settings import PathMap, Settings
from executor.spawner import Command, Spawner
from executor.text_paths import to_text

_CHUNK = 256 * 1024
_OUTPUT_LIMIT = 1024 * 1024
_LAST_WRITES_SECONDS = 10.0


class Workspace:
    """`trees` are the two roots by name. Writes are counted: a scan during which one happened is fuzzy. From a halt on people's
    writes are refused, so that none is acknowledged behind the last scan; a thaw admits them again."""

    def __init__(self, settings: Settings, spawner: Spawner, population: Population) -> None:
        self._settings, self._spawner, self._population = settings, spawner, population
        self.trees = {"workspace": Tree(settings.workspace, "/workspace"), "agent": Tree(settings.agent, "/home/agent")}
        self._map = PathMap(settings.paths)
        self._stage = Stage(os.path.join(settings.state, "staged"))
        self._baseline = Baseline(spawner, self.trees["workspace"], settings.state)
        self._seeding = Seeding(spawner, self.trees["workspace"], settings.state, self._baseline)
        self._restoring = threading.Lock()
        self._writing = 0
        self._writes = 0
        self._by_people = 0
        self._halted = False
        self._writes_lock = threading.Condition()

    def add_to(self, server: Server) -> None:
        for name, route in {"validate": self.validate, "sync": self.sync, "content": self.content}.items():
            server.add("POST", f"/workspace/{name}", route)
        effects: dict[tuple[str, str], Route] = {
            ("POST", "/workspace/stage"): self.stage,
            ("POST", "/workspace/restore"): self.restore,
            ("POST", "/workspace/freeze"): self.freeze,
            ("POST", "/workspace/halt"): self.halt,
            ("POST", "/workspace/seed"): self.seed,
        }
        writes: dict[tuple[str, str], Route] = {
            ("PUT", "/workspace/file"): self.put_file,
            ("POST", "/workspace/mkdir"): self.mkdir,
            ("POST", "/workspace/rename"): self.rename,
            ("POST", "/workspace/delete"): self.delete,
            ("POST", "/tty/exec"): self.execute,
        }
        for (method, path), route in (effects | writes).items():
            server.add(method, path, self._of_this_generation(route, by_people=(method, path) in writes))
        server.add("POST", "/workspace/link-agent-data", self.link_agent_data)
        server.add("GET", "/workspace/tree", self.tree)
        server.add("GET", "/workspace/file", self.get_file)
        server.add("GET", "/workspace/diff", self.diff)

    def _of_this_generation(self, route: Route, *, by_people: bool) -> Route:
        def checked(request: Request) -> Response:
            named = request.headers.get(protocol.GENERATION_HEADER)
            if named != str(self._settings.generation):
                raise Refused(409, "wrong_generation", f"this is generation {self._settings.generation}, not {named}")
            with self._counted(by_people=by_people):
                return route(request)

        return checked

    @contextmanager
    def _counted(self, *, by_people: bool) -> Iterator[None]:
        with self._writes_lock:
            if by_people:
                self._require_not_halted()
            self._by_people += by_people
            self._writing += 1
            self._writes += 1
        try:
            yield
        finally:
            with self._writes_lock:
                self._by_people -= by_people
                self._writing -= 1
                self._writes_lock.notify_all()

    def _require_not_halted(self) -> None:
        if self._halted:
            raise Refused(409, "worker_not_active", "the sandbox is being stopped")

    def _quiet_mark(self) -> int | None:
        """Return a number that changes with every write through here; None while anything can write."""
        with self._writes_lock:
            writes, busy = self._writes, self._writing > 0
        return None if busy or not self._population.quiet() else writes

    def _tree_of(self, request: Request) -> Tree:
        return self.trees[request.query.get("root", "workspace")]

    # --- a snapshot and back -----------------------------------------------------------------------------------------------

    def sync(self, request: Request) -> Response:
        asked = request.json()
        scans = {}
        for root in asked["roots"]:
            known = {row[0]: ((row[1], row[2], row[3], row[4]), row[5]) for row in asked.get("known", {}).get(root, [])}
            left_out = frozenset(asked.get("leaveOut", {}).get(root, []))
            scans[root] = Scan(self.trees[root], known, asked.get("racyAfterNs", 0.0), left_out)
        return Response(200, ManifestStream(scans, self._quiet_mark).parts())

    def content(self, request: Request) -> Response:
        return Response(200, content(self.trees, request.json()["items"]))

    def stage(self, request: Request) -> Response:
        staged = 0
        for sha256, size in _frame_heads(request.body):
            staged += self._stage.take(sha256, request.body, size)
            request.body.read(1)
        return json_response({"staged": staged})

    def restore(self, request: Request) -> Response:
        asked = request.json()
        with self._restoring:
            restores = [Restore(self.trees[root], entries, self._stage) for root, entries in asked["roots"].items()]
            for restore in restores:
                restore.plan()
            missing = sorted(set().union(*(restore.missing for restore in restores)))
            if not missing:
                for restore in restores:
                    restore.apply(clean=bool(asked.get("clean")))
                self._stage.clear()
        written, removed = sum(restore.written for restore in restores), sum(restore.removed for restore in restores)
        return json_response({"missing": missing, "written": written, "removed": removed})

    def seed(self, request: Request) -> Response:
        if request.headers.get("content-type") == "application/octet-stream":
            return json_response(self._seeding.from_bundle(request.body, request.query.get("ref")))
        asked = request.json()
        return json_response(self._seeding.from_address(asked["url"], asked.get("ref")))

    def diff(self, request: Request) -> Response:
        try:
            return json_response(self._baseline.diff(request.query.get("baseline")))
        except GitFailed as error:
            raise Refused(422, "diff_failed", str(error)) from None

    # --- processes ---------------------------------------------------------------------------------------------------------

    def freeze(self, request: Request) -> Response:
        if request.json()["frozen"]:
            return json_response({"processes": self._population.freeze()})
        self._halted = False
        return json_response({"processes": self._population.thaw()})

    def halt(self, _: Request) -> Response:
        """Take no more writes, kill what could write, and wait for the writes under way to end or to be refused."""
        end = time.monotonic() + _LAST_WRITES_SECONDS
        with self._writes_lock:
            self._halted = True
        killed = self._population.halt()
        while True:
            with self._writes_lock:
                if self._writes_lock.wait_for(lambda: self._by_people == 0, 0.2):
                    return json_response({"processes": killed})
            if time.monotonic() > end:
                raise Refused(409, "writes_under_way", "a write to the sandbox does not come to its end")
            killed += self._population.halt()  # what a terminal had started meanwhile

    def execute(self, request: Request) -> Response:
        asked = request.json()
        argv = command.shell(asked["command"])
        cwd = self._map.apply(asked.get("cwd") or "/workspace")
        asked_for = Command(argv, command.environment(self.trees["agent"].path), cwd)
        done = command.run(self._spawner, asked_for, seconds=asked["timeoutMs"] / 1000, limit=_OUTPUT_LIMIT)
        told = {"stdout": command.text(done.stdout), "stderr": command.text(done.stderr), "exitCode": done.code}
        return json_response({**told, "timedOut": done.timed_out, "truncated": done.truncated})

    # --- before a run ------------------------------------------------------------------------------------------------------

    def link_agent_data(self, request: Request) -> Response:
        paths = list(Scan(self.trees["agent"]).names())
        found = [self._probe(probe, paths) for probe in request.json()["probes"]]
        return json_response({"probes": found})

    def _probe(self, probe: dict[str, str], paths: list[str]) -> dict[str, bool]:
        matching = [path for path in paths if fnmatchcase(path, probe["glob"])]
        wanted = probe["contains"].encode()
        return {"exists": bool(matching), "contains": any(self._contains(path, wanted) for path in matching)}

    def _contains(self, path: str, wanted: bytes) -> bool:
        try:
            descriptor = self.trees["agent"].open_file(path)
        except (OSError, Refused):
            return False
        held = b""
        with os.fdopen(descriptor, "rb") as file:
            while part := file.read(_CHUNK):
                held += part
                if wanted in held:
                    return True
                held = held[-len(wanted) :]
        return False

    def validate(self, request: Request) -> Response:
        return json_response({"missing": [path for path in request.json()["requiredPaths"] if not self._exists(path)]})

    def _exists(self, path: str) -> bool:
        tree = next((tree for tree in self.trees.values() if (path + "/").startswith(tree.prefix + "/")), None)
        if tree is None:
            raise Refused(422, "path_outside", f"{path!r} is not below /workspace")
        try:
            if not tree.parts(path):
                return True
            with tree.parent(path) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    # --- files -------------------------------------------------------------------------------------------------------------

    def write_home(self, path: str, data: bytes) -> None:
        """Write a file below the agents' HOME, readable for its owner only."""
        with self.trees["agent"].parent(path, create=True) as (folder, name):
            write_atomically(folder, name, iter((data,)), 0o600)

    def tree(self, request: Request) -> Response:
        tree = self._tree_of(request)
        parts = tree.parts(request.query.get("path", ""))
        with tree.folder(parts) as folder:
            entries = [_described(folder, name, "/".join([*parts, name])) for name in sorted(os.listdir(folder))]
        return json_response({"entries": [entry for entry in entries if entry is not None]})

    def get_file(self, request: Request) -> Response:
        descriptor = self._tree_of(request).open_file(request.query["path"])
        found = os.fstat(descriptor)
        offset = int(request.query.get("offset", "0"))
        end = min(found.st_size, offset + int(request.query.get("limit", found.st_size)))
        headers = {"x-size": str(found.st_size), "x-mode": str(stat.S_IMODE(found.st_mode))}
        return Response(200, _read(descriptor, offset, end), headers)

    def put_file(self, request: Request) -> Response:
        def body() -> Iterator[bytes]:
            yield from iter(lambda: request.body.read(_CHUNK), b"")
            self._require_not_halted()  # nobody is told that it is there before it is

        with self._tree_of(request).parent(request.query["path"], create=True) as (folder, name):
            _refuse_folder(folder, name)
            return json_response({"size": write_atomically(folder, name, body())})

    def mkdir(self, request: Request) -> Response:
        asked = request.json()
        with self._root(asked).parent(asked["path"], create=True) as (folder, name):
            os.mkdir(name, 0o755, dir_fd=folder)
        return json_response({})

    def rename(self, request: Request) -> Response:
        asked = request.json()
        tree = self._root(asked)
        with tree.parent(asked["from"]) as (old, old_name), tree.parent(asked["to"], create=True) as (new, new_name):
            if _exists_at(new, new_name):
                raise Refused(409, "exists", f"{asked['to']!r} is there already")
            os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)
        return json_response({})

    def delete(self, request: Request) -> Response:
        asked = request.json()
        with self._root(asked).parent(asked["path"]) as (folder, name):
            remove(folder, name)
        return json_response({})

    def _root(self, asked: dict[str, Any]) -> Tree:
        return self.trees[asked.get("root", "workspace")]


def _frame_heads(body: BinaryIO) -> Iterator[tuple[str, int]]:
    """Yield `(sha256, size)` of each frame; whoever iterates reads the bytes and the newline after them."""
    while line := body.readline():
        header = json.loads(line)
        yield header["sha256"], header["size"]


def _described(folder: int, name: str, path: str) -> dict[str, Any] | None:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        entry: dict[str, Any] = {"path": to_text(path), "mode": stat.S_IMODE(found.st_mode), "mtime": found.st_mtime}
        if stat.S_ISDIR(found.st_mode):
            return {**entry, "type": "dir", "size": 0}
        if stat.S_ISLNK(found.st_mode):
            return {**entry, "type": "symlink", "size": 0, "target": to_text(os.readlink(name, dir_fd=folder))}
    except FileNotFoundError:
        return None  # gone since it was listed
    return {**entry, "type": "file" if stat.S_ISREG(found.st_mode) else "special", "size": found.st_size}


def _read(descriptor: int, offset: int, end: int) -> Iterator[bytes]:
    try:
        while offset < end and (part := os.pread(descriptor, min(_CHUNK, end - offset), offset)):
            offset += len(part)
            yield part
    finally:
        os.close(descriptor)


def _exists_at(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _refuse_folder(folder: int, name: str) -> None:
    if _exists_at(folder, name) and stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise Refused(422, "is_a_directory", "there is a folder of this name")
