"""The stop gate under `kill -9` (P4): executor, worker and object store die at random moments of sync, stop and remove, while an
agent, a terminal and uploads write. What was acknowledged is there afterwards, and nothing is removed without its receipt.

A round goes wrong with a seed that is printed; `PADDOCK_FAULTS_SEED` plays the same choices again.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.adapters.local_sandboxes import LocalSandboxes, LocalSandboxSettings
from app.domain.manifest import Manifest
from app.domain.turn import AgentCommand
from app.errors import AppError
from app.models import ChatSession, SessionWorker, Snapshot
from app.ports import EVERY_GENERATION, AgentStart, Executor, ExecutorError
from tests.support import processes
from tests.support.gate_jobs import Job, Outcome, Place
from tests.support.s3 import S3Server, free_port, rclone_server
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.workspace_house import House, bound

ROUNDS = 125 if LONG else 2
"""Of each database with each store."""
ROUNDS_OF_A_SESSION = 8
SEED = os.environ.get("PADDOCK_FAULTS_SEED") or str(random.randrange(10**9))

OPERATIONS = ("sync", "stop", "remove")
LASTS = {"sync": 0.15, "stop": 0.35, "remove": 0.45, "start": 0.4}
"""Seconds that an operation takes about; its victims die within. What this machine really takes is learnt on the way."""
UP_TO_A_SECOND_DEATH = 0.25
"""How often whoever goes on dies as well."""

COUNTING = "n=0; while :; do n=$((n+1)); echo $n >> {file}; echo $n; sleep 0.004; done"


# --- who writes ----------------------------------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What the users of one session know. `said[path]` begins with what was acknowledged last; what was tried after it without an
    answer may be there instead. `lines[path]` is how far a file that is only appended to came, as its writer said."""

    said: dict[str, list[bytes]] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    lines: dict[str, int] = field(default_factory=dict)

    def put(self, executor: Executor, path: str, data: bytes) -> None:
        self.said.setdefault(path, []).append(data)
        executor.write_file(path, data)
        self.said[path] = [data]
        self.whole.add(path)

    def check(self, workspace: Path) -> int:
        """Compare with the files as they are now; returns how many acknowledged bytes are there."""
        found = 0
        for path in self.whole:
            file = workspace / path
            assert file.is_file(), f"{path} was acknowledged and is lost"
            data = file.read_bytes()
            assert data in self.said[path], f"{path} holds something else than what was acknowledged"
            found += len(data)
        for path, last in self.lines.items():
            numbers = (workspace / path).read_text().split() if (workspace / path).exists() else []
            assert len(numbers) >= last, f"{path} ends at {len(numbers)}; {last} was acknowledged"
            assert numbers == [str(n + 1) for n in range(len(numbers))], f"{path} has a hole"
            found += sum(len(number) + 1 for number in numbers[:last])
        return found


class Writers:
    """An agent that counts into a file, and somebody who uploads and types, as long as the sandbox takes it."""

    def __init__(self, executor: Executor, ledger: Ledger, name: str) -> None:
        self._executor, self._ledger, self._name = executor, ledger, name
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._upload, self._agent)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a writer hangs"

    def _guarded(self, work: Callable[[], None]) -> None:
        with suppress(ExecutorError, AppError, OSError):  # its sandbox is gone, or takes nothing any more
            work()

    def _upload(self) -> None:
        number = 0
        while not self._done.is_set():
            number += 1
            data = f"{self._name}.{number}".encode() * (2000 if number % 7 == 0 else 5)
            self._ledger.put(self._executor, f"up/{self._name}-{number}.bin", data)
            self._ledger.put(self._executor, "same.txt", data)
            if number % 4 == 1:
                self._type(number // 4 + 1)
            self._done.wait(0.01)

    def _type(self, line: int) -> None:
        path = f"typed-{self._name}.txt"
        done = self._executor.execute(f"echo {line} >> {path}", cwd="/workspace", timeout_ms=5000)
        if done.exit_code == 0:
            self._ledger.lines[path] = line
        else:
            self._done.set()  # killed with its sandbox: the next line would leave a hole of our own

    def _agent(self) -> None:
        path = f"agent-{self._name}.txt"
        command = AgentCommand(["/bin/sh", "-c", COUNTING.format(file=path)], {})
        self._executor.start_agent(AgentStart(f"{self._name}.1", self._name, 1, "test", command, {}))
        for record in self._executor.follow(f"{self._name}.1", 0):
            if record.kind == "out":
                self._ledger.lines[path] = int(record.data.split()[-1])
            if self._done.is_set():
                return


# --- where it happens ------------------------------------------------------------------------------------------------------------


class Gate:
    """One installation without web and queue: its rows, its sandboxes, and a store whose process may be killed."""

    def __init__(self, var: Path, database_url: str, store: str) -> None:
        self.var = var
        self._server: ExitStack | None = None
        self._port = free_port()
        self.place = Place(var, database_url, S3Server(self._port).settings if store == "s3" else {})
        self.bring_store()
        self.house = House(var, LocalSandboxes(LocalSandboxSettings(var / "sandboxes")), self.place.store())

    @property
    def has_server(self) -> bool:
        return bool(self.place.s3)

    def bring_store(self) -> None:
        if self.has_server and self._server is None:
            self._server = ExitStack()
            self._server.enter_context(rclone_server(self.var / "bucket", self._port))

    def kill_store(self) -> None:
        if self._server is not None:
            self._server.close()  # SIGKILL
            self._server = None

    def close(self) -> None:
        for name in self.house.sandboxes.list_running():
            self.house.sandboxes.stop(name, EVERY_GENERATION)
        self.kill_store()

    def kill_executor(self, session_id: str) -> None:
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            told = json.loads((self.var / "sandboxes" / session_id / "sandbox.json").read_bytes())
            os.kill(told["executor_pid"], 9)
            eventually(lambda: not processes.is_alive(told["executor_pid"]))

    def workspace(self, session_id: str) -> Path:
        return self.var / "sandboxes" / session_id / "workspace"

    def removals(self, session_id: str) -> list[dict[str, Any]]:
        if not self.place.removals.exists():
            return []
        lines = [json.loads(line) for line in self.place.removals.read_text().splitlines()]
        return [line for line in lines if line["session"] == session_id]


@dataclass
class Life:
    """One session: what its users were told, and what the platform said was saved."""

    gate: Gate
    session: ChatSession
    ledger: Ledger = field(default_factory=Ledger)
    reported: set[str] = field(default_factory=set)
    checked: int = 0

    @property
    def row(self) -> SessionWorker:
        return self.gate.house.row(self.session)

    def do(self, name: str) -> Outcome:
        """Let a process do it that nobody kills."""
        return self.note(Job(self.gate.place, name, self.session.id).outcome())

    def note(self, outcome: Outcome) -> Outcome:
        if outcome.answer.get("snapshotId"):
            self.reported.add(outcome.answer["snapshotId"])
        return outcome

    def expire(self) -> None:
        """The time of a dead worker's lease passes."""
        if self.row.lease_owner is not None:
            self.gate.house.expire_lease(self.session)

    def uploads(self) -> dict[str, str]:
        """Return the hashes of those files that are acknowledged and never written again."""
        paths = [path for path in self.ledger.whole if path.startswith("up/")]
        return {path: hashlib.sha256(self.ledger.said[path][0]).hexdigest() for path in paths}

    # --- what must be true ---------------------------------------------------------------------------------------------------

    def check_reported(self, since: dict[str, str]) -> None:
        """Each snapshot that was reported is whole in the store, and the newest holds what was acknowledged `since` it began."""
        for snapshot_id in self.reported:
            row = Snapshot.get_by_id(snapshot_id)
            manifest = self.gate.house.snapshots.manifest(row)
            self.check_content(row, manifest)
        if since and self.reported:
            newest = self.gate.house.snapshots.manifest(Snapshot.get_by_id(max(self.reported)))
            saved = {entry.path: entry.sha256 for entry in newest.tree("workspace")}
            assert {path: saved.get(path) for path in since} == since

    def check_content(self, row: Snapshot, manifest: Manifest) -> None:
        for _, entry in manifest.entries():
            if entry.sha256 is not None:
                data = self.gate.house.snapshots.read(row, entry)  # refuses what has another hash
                assert len(data) == entry.size

    def check_removals(self) -> None:
        """A sandbox was removed with a receipt of its own generation, whose snapshot is whole; or it had never run."""
        for said in self.gate.removals(self.session.id)[self.checked :]:
            self.checked += 1
            if said["receipt"] is None and not said["ran"]:
                continue
            assert said["receipt"] is not None, said
            assert said["receipt"]["generation"] == said["generation"], said
            assert said["receipt"]["snapshotId"] == said["snapshotId"], said
            row = Snapshot.get_by_id(said["snapshotId"])
            assert not row.fuzzy, said
            self.check_content(row, self.gate.house.snapshots.manifest(row))

    def check_kept(self) -> None:
        """Where the files are gone, their removal was written down."""
        if not self.gate.workspace(self.session.id).exists():
            assert self.gate.removals(self.session.id)
        self.check_removals()


@dataclass
class Nemesis:
    """Chooses and kills; `killed` counts what died."""

    gate: Gate
    chance: random.Random
    killed: Counter[str] = field(default_factory=Counter)
    lasts: dict[str, float] = field(default_factory=lambda: dict(LASTS))

    def strike(self, life: Life, name: str) -> Outcome:
        """Let a process do `name`, and kill at a random moment of it."""
        victims = self.chance.choice(self._choices())
        moment = self.chance.uniform(0, 1.2) * self.lasts[name]
        begun = time.monotonic()
        job = Job(self.gate.place, name, life.session.id)
        threading.Event().wait(moment)
        for victim in victims:
            self.killed[victim] += 1
            if victim == "worker":
                job.kill()
            elif victim == "executor":
                self.gate.kill_executor(life.session.id)
            else:
                self.gate.kill_store()
        try:
            outcome = life.note(job.outcome())
            if outcome.ok:
                self.lasts[name] = (self.lasts[name] + min(time.monotonic() - begun, 3.0)) / 2
            return outcome
        finally:
            self.gate.bring_store()
            life.expire()

    def _choices(self) -> list[tuple[str, ...]]:
        choices: list[tuple[str, ...]] = [("worker",), ("executor",), ("worker", "executor"), ("executor", "worker")]
        if self.gate.has_server:
            choices += [("store",), ("store", "worker"), ("executor", "store"), ("store", "executor", "worker")]
        return choices


# --- a round -----------------------------------------------------------------------------------------------------------------------


def play(life: Life, nemesis: Nemesis, name: str) -> str:
    """Write, let one operation and its victims go wrong, go on, and look whether anything is missing; returns what was done."""
    gate, chance = life.gate, nemesis.chance
    executor = gate.place.workers().connect(life.session.id, writing=True)
    assert executor is not None
    writers = Writers(executor, life.ledger, name)
    try:
        eventually(lambda: life.ledger.lines.get(f"agent-{name}.txt", 0) > 3 and life.ledger.whole)
        operation = chance.choice(OPERATIONS)
        before = life.uploads()
        outcome = nemesis.strike(life, operation)
    finally:
        writers.stop()
    life.check_kept()
    life.check_reported(before if outcome.ok else {})
    go_on(life, nemesis)
    life.check_removals()
    life.ledger.check(gate.workspace(life.session.id))
    return f"{operation}:{'done' if outcome.ok else outcome.code or 'killed'}"


def go_on(life: Life, nemesis: Nemesis) -> None:
    """What the platform does next: a sweep or a message comes, which may die too; then the session runs again."""
    if nemesis.chance.random() < UP_TO_A_SECOND_DEATH:
        nemesis.strike(life, nemesis.chance.choice(("start", "stop", "sync")))
    if nemesis.chance.random() < 0.3:
        life.do(nemesis.chance.choice(("stop", "remove")))
    started = life.do("start")
    assert started.ok, f"the session cannot go on: {started} {life.row.status} {life.row.error}"
    assert life.row.status == "running"


def end_well(life: Life) -> int:
    """Whatever happened to it: the session can be stopped by the book, removed, and comes back whole. Returns its bytes."""
    removed = life.do("remove")
    assert removed.ok, removed
    assert not life.gate.workspace(life.session.id).exists()
    life.check_kept()
    assert life.do("start").ok
    found = life.ledger.check(life.gate.workspace(life.session.id))
    life.check_reported({})
    assert life.do("stop").ok
    shutil.rmtree(life.gate.workspace(life.session.id).parent)
    return found


@pytest.fixture
def gate(database_url: str, request: pytest.FixtureRequest) -> Iterator[Gate]:
    """In memory where that is possible: hundreds of saves wait for no disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with bound(database_url), tempfile.TemporaryDirectory(prefix="pdk-", dir=memory) as var:
        made = Gate(Path(var), database_url, request.getfixturevalue("store"))
        try:
            yield made
        finally:
            made.close()


@pytest.mark.promise("P4")
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["folder", "s3"])
def test_no_acknowledged_byte_is_lost_whatever_dies_when(gate: Gate, store: str, figures: Figures) -> None:
    print(f"PADDOCK_FAULTS_SEED={SEED}")
    nemesis, done, bytes_kept = Nemesis(gate, random.Random(f"{SEED}:{store}")), Counter[str](), 0
    begun = time.monotonic()
    life: Life | None = None
    for number in range(ROUNDS):
        if life is None:
            life = Life(gate, gate.house.session())
            assert life.do("start").ok
        done[play(life, nemesis, f"r{number}")] += 1
        if number % ROUNDS_OF_A_SESSION == ROUNDS_OF_A_SESSION - 1 or number == ROUNDS - 1:
            bytes_kept += end_well(life)
            life = None
    killed = ", ".join(f"{name} {count}" for name, count in sorted(nemesis.killed.items()))
    figures.add(f"rounds ({store})", f"{ROUNDS} in {time.monotonic() - begun:.0f} s, kills: {killed}", met=True)
    figures.add("acknowledged bytes lost", f"0 of {bytes_kept}", "0", met=bytes_kept > 0)
    print(dict(done))
