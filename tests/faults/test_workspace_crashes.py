"""A process may die at any call to a sandbox or a store: whoever goes on loses no byte (promise P4).

The life of a session is lived once with every call counted, then again for every call with the process dying right before it
(and, for calls that change something in one stroke, right after it). Another process goes on from what the row says.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.models import ChatSession
from app.services.session_workers import SessionWorkers
from tests.support.folder_host import FolderHost, FolderSandboxes
from tests.support.verdicts import LONG, Figures
from tests.support.workspace_house import House, bound, bundle_of, tree_of, write

PARTS = 3
"""Tests that share the calls, so that none takes long."""
LIVES = [(*life, part) for life in ((False, False), (True, True)) for part in range(PARTS)]
"""`make test` takes every third call of each life, another third of each."""

Step = Callable[[SessionWorkers], object]


class Died(BaseException):
    """`kill -9`: no handler runs."""


class Fuse:
    """Counts calls and dies at call number `at`; a dead process calls nothing any more."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.count, self.dead = at, 0, False

    def burn(self) -> None:
        self.count += 1
        if self.dead or self.count == self.at:
            self.dead = True
            raise Died


class Fused:
    """A port behind a fuse: it may burn before and after each call."""

    def __init__(self, part: Any, fuse: Fuse) -> None:
        self._part, self._fuse = part, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)

        def call(*arguments: Any, **more: Any) -> Any:
            self._fuse.burn()
            answer = found(*arguments, **more)
            try:
                self._fuse.burn()
            except Died:
                if name == "get":
                    answer.close()  # as the end of the process does
                raise
            return answer

        return call


class FusedHost(FolderHost):
    """An executor whose caller may die in the middle of a call: between two files of a restore or a transfer."""

    fuse: Fuse = Fuse()

    def _called(self, name: str) -> None:
        super()._called(name)
        type(self).fuse.burn()


class Life:
    """What happens to a session, step by step; `memory` is what its sandbox held last, as its users know it."""

    def __init__(self, house: House, session: ChatSession) -> None:
        self.house, self.session = house, session
        self.memory: dict[str, Any] = {}

    def steps(self) -> list[Step]:
        if self.session.bundle_id is not None:  # only its beginning differs
            return [self._start, self._work("one"), lambda workers: workers.stop(self.session.id), self._start]
        return [
            self._start,
            self._work("one"),
            lambda workers: workers.sync(self.session.id, "message.stop", "run_1"),
            self._work("two"),
            lambda workers: workers.sync(self.session.id, "run.finished", "run_1", ended=True),
            self._work("three"),
            lambda workers: workers.stop(self.session.id),
            self._start,
            self._work("four"),
            self._sandbox_dies,
            self._start,
            self._work("five"),
            lambda workers: workers.stop(self.session.id),
            lambda workers: workers.remove(self.session.id),
            self._start,
        ]

    def check(self) -> None:
        now = {root: tree_of(self.house.folder(self.session, root)) for root in ("workspace", "agent")}
        assert now == self.memory

    def _start(self, workers: SessionWorkers) -> None:
        workers.ensure_running(self.session, labels={})
        if self.memory:
            self.check()

    def _work(self, text: str) -> Step:
        def work(_: SessionWorkers) -> None:
            write(self.house.folder(self.session), {"same.txt": text, f"new/{text}.txt": text * 3, "const": "c"})
            write(self.house.folder(self.session, "agent"), {".claude/c.jsonl": f"said {text}"})
            self.memory = {r: tree_of(self.house.folder(self.session, r)) for r in ("workspace", "agent")}

        return work

    def _sandbox_dies(self, _: SessionWorkers) -> None:
        sandboxes: Any = self.house.sandboxes
        sandboxes.kill(self.session.id)


@pytest.fixture
def make(engine: str, new_database_url: Callable[[str], str]) -> Iterator[Callable[[], House]]:
    """Make any number of houses, in one database; in memory where that is possible, because each life syncs a hundred files."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with bound(new_database_url(engine)), tempfile.TemporaryDirectory(prefix="pdk-", dir=memory) as top:

        def made() -> House:
            var = Path(tempfile.mkdtemp(dir=top))
            return House(var, FolderSandboxes(var / "sandboxes", FusedHost))

        yield made


def live(house: House, life: Life, fuse: Fuse, *, sandbox_dies_too: bool = False) -> bool:
    """Live the life; where the process dies another one goes on. Returns whether it died."""
    FusedHost.fuse = fuse
    workers = house.another_process(Fused(house.sandboxes, fuse), Fused(house.store, fuse))
    died = False
    for step in life.steps():
        try:
            step(workers)
        except Died:
            died = True
            FusedHost.fuse = Fuse()
            workers = house.another_process()
            if sandbox_dies_too:
                house.sandboxes.kill(life.session.id)  # type: ignore[attr-defined]
            house.expire_lease(life.session)
            go_on(step, workers, life)
    life.check()
    return died


def go_on(step: Step, workers: SessionWorkers, life: Life) -> None:
    """What the platform does next: a sync whose sandbox died is made good by the start that salvages it."""
    if workers.connect(life.session.id) is None and life.house.row(life.session).status in ("running", "error"):
        workers.ensure_running(life.session, labels={})
    step(workers)


def count_calls(make: Callable[[], House], new_session: Callable[[House], ChatSession]) -> int:
    house, fuse = make(), Fuse()
    assert not live(house, Life(house, new_session(house)), fuse)
    return fuse.count


@pytest.mark.promise("P4")
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"] if LONG else ["sqlite"])
@pytest.mark.parametrize(("seeded", "sandbox_dies_too", "part"), LIVES if LONG else LIVES[:: PARTS + 1])
def test_a_process_that_dies_at_any_call_loses_no_byte(
    make: Callable[[], House], tmp_path: Path, seeded: bool, sandbox_dies_too: bool, part: int, figures: Figures
) -> None:
    new_session = bundled(tmp_path) if seeded else House.session
    total = count_calls(make, new_session)
    assert total > 50
    for at in range(1 + part, total + 1, PARTS):
        house = make()
        life = Life(house, new_session(house))
        assert live(house, life, Fuse(at), sandbox_dies_too=sandbox_dies_too), at
        shutil.rmtree(house.var)
    figures.add("dead at each of", f"{len(range(1 + part, total + 1, PARTS))} calls")


def bundled(tmp_path: Path) -> Callable[[House], ChatSession]:
    """Return what makes a session that begins with a repository."""

    def make_session(house: House) -> ChatSession:
        return house.session(bundle_id=bundle_of(house, tmp_path / "repository", {"README.md": "hello\n"}))

    return make_session
