"""A session with its sandbox, its store and its rows, without web, queue or agents: what the tests of workspaces work in."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app import db, ids
from app.adapters.folder_object_store import FolderObjectStore
from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.config import Settings
from app.domain import storage
from app.models import AgentRun, Bundle, ChatSession, SessionWorker, Snapshot, Tenant, User
from app.ports import EVERY_GENERATION, ObjectStore, Sandboxes
from app.services import worker_rows
from app.services.session_workers import SessionWorkers
from app.services.snapshots import Snapshots
from app.services.worker_start import Ready
from app.services.workspaces import Workspaces
from tests.support.folder_host import FolderSandboxes

Tree = dict[str, tuple[Any, ...]]


@dataclass
class CountingBell:
    """A bell that remembers who was rung for."""

    rung: list[str] = field(default_factory=list)

    def ring_runs(self) -> None:
        self.rung.append("runs")

    def ring_session_worker(self, session_id: str) -> None:
        self.rung.append(session_id)

    def ring_command(self, run_id: str) -> None:
        self.rung.append(run_id)


class House:
    """`workers` is one process's view; `another_process()` is a second one's, as after a crash."""

    def __init__(self, var: Path, sandboxes: Sandboxes, store: ObjectStore | None = None, **settings: Any) -> None:
        self.var, self.sandboxes = var, sandboxes
        self.settings = Settings(var=var, _env_file=None, **settings)
        self.store = store or FolderObjectStore(var / "objects")
        self.bell = CountingBell()
        self.snapshots = Snapshots(self.store)
        self.workers = self.another_process()
        self.workspaces = Workspaces(self.workers, self.snapshots)
        self.tenant_id = ids.new_id("tnt")
        self.user_id = ids.new_id("usr")
        Tenant.create(id=self.tenant_id, name="t", created_at=db.now())
        User.create(id=self.user_id, tenant_id=self.tenant_id, name="alice", created_at=db.now())

    def another_process(self, sandboxes: Any = None, store: Any = None) -> SessionWorkers:
        store = store or self.store
        return SessionWorkers(self.settings, sandboxes or self.sandboxes, Snapshots(store), self.bell, {})

    def session(self, **fields: Any) -> ChatSession:
        return ChatSession.create(
            id=ids.new_id("ses"),
            tenant_id=self.tenant_id,
            user_id=self.user_id,
            provider="scripted",
            created_at=db.now(),
            updated_at=db.now(),
            **fields,
        )

    def start(self, session: ChatSession) -> Ready:
        return self.workers.ensure_running(session, labels={})

    def row(self, session: ChatSession) -> SessionWorker:
        return worker_rows.get(session.id)

    def snapshot_rows(self, session: ChatSession) -> list[Snapshot]:
        return list(Snapshot.select().where(Snapshot.session_id == session.id).order_by(Snapshot.id))

    def folder(self, session: ChatSession, root: str = "workspace") -> Path:
        return self.var / "sandboxes" / session.id / root

    def expire_lease(self, session: ChatSession) -> None:
        """As if the time of an operation's lease had passed."""
        SessionWorker.update(lease_until=db.now() - 1).where(SessionWorker.session_id == session.id).execute()

    def run(self, session: ChatSession, status: str = "running") -> AgentRun:
        return AgentRun.create(
            id=ids.new_id("run"),
            tenant_id=self.tenant_id,
            session_id=session.id,
            user_id=self.user_id,
            session_seq=1,
            status=status,
            provider="scripted",
            prompt="x",
            trace_id="trc_1",
            created_at=db.now(),
        )

    def finish(self, run: AgentRun) -> None:
        AgentRun.update(status="succeeded", finished_at=db.now()).where(AgentRun.id == run.id).execute()


@contextmanager
def bound(database_url: str) -> Iterator[None]:
    """Bind the models to a database for the length of the block."""
    opened = db.connect(database_url)
    db.bind(opened)
    try:
        yield
    finally:
        close: Any = getattr(opened, "close_all", opened.close)
        close()


@contextmanager
def sandboxes_of(kind: str, var: Path) -> Iterator[Any]:
    """Sandboxes below `var`: `folder` without processes, `local` with real executors, which are ended at the end."""
    if kind == "folder":
        yield FolderSandboxes(var / "sandboxes")
        return
    sandboxes = LocalSandboxes(LocalSandboxSettings(var / "sandboxes"))
    try:
        yield sandboxes
    finally:
        for name in sandboxes.list_running():
            sandboxes.stop(name, EVERY_GENERATION)


def tree_of(top: Path, skip: Callable[[str], bool] = lambda name: False) -> Tree:
    """Return what is below a folder: kind, mode, and bytes or target by path."""
    found: Tree = {}
    for folder, names, files in os.walk(os.fsencode(top)):
        for raw in (*names, *files):
            path = os.path.join(folder, raw)
            name = os.fsdecode(os.path.relpath(path, os.fsencode(top)))
            if skip(name):
                continue
            facts = os.lstat(path)
            if stat.S_ISLNK(facts.st_mode):
                found[name] = ("symlink", os.fsdecode(os.readlink(path)))
            elif stat.S_ISDIR(facts.st_mode):
                found[name] = ("dir", stat.S_IMODE(facts.st_mode))
            else:
                with open(path, "rb") as file:
                    found[name] = ("file", stat.S_IMODE(facts.st_mode), file.read())
    return found


def bundle_of(house: House, repository: Path, files: dict[str, bytes | str]) -> str:
    """Make a repository with one commit, upload it as a bundle, and return the bundle's id."""
    bundle = repository.parent / f"{repository.name}.bundle"
    if not repository.exists():
        write(repository, files)
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(repository)]
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
            subprocess.run([*git, *command], check=True)
        subprocess.run([*git, "bundle", "create", "-q", str(bundle), "HEAD", "main"], check=True)
    return upload(house, bundle)


def upload(house: House, bundle: Path) -> str:
    """Put a file into the store as an uploaded bundle."""
    bundle_id, size = ids.new_id("bdl"), bundle.stat().st_size
    key = storage.bundle_key(house.tenant_id, bundle_id)
    with bundle.open("rb") as stream:
        house.store.put(key, stream, size)
    Bundle.create(
        id=bundle_id,
        tenant_id=house.tenant_id,
        user_id=house.user_id,
        object_key=key,
        size=size,
        sha256="",
        created_at=db.now(),
    )
    return bundle_id


def write(top: Path, files: dict[str, bytes | str]) -> None:
    for name, data in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
