"""The supervisor keeps processes running, heals after kill -9 of anything (itself too), and stops in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.processes import ProcessMark
from cli.supervisor import Record, children_of
from tests.support import processes
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

TELL_END = (
    "import signal,sys,time; "
    "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1],'a').write(sys.argv[2]+'\\n'), sys.exit(0))); "
    "print(sys.argv[2], 'is up', flush=True); signal.pause()"
)
WITH_CHILD = "import subprocess,sys; child = subprocess.Popen(['sleep', '1000']); open(sys.argv[1],'w').write(str(child.pid)); child.wait()"


class Keeper:
    """A supervisor over a Procfile of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = Record(folder / "run")
        for name in ("run", "logs"):
            (folder / name).mkdir()

    def write(self, **commands: list[str]) -> None:
        lines = [f"{name}: {' '.join(_quote(word) for word in words)}" for name, words in commands.items()]
        (self.folder / "Procfile").write_text("\n".join(lines) + "\n")

    @contextmanager
    def running(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        argv = [sys.executable, "-m", "cli.supervisor", "--procfile", str(self.folder / "Procfile")]
        argv += ["--run", str(self.folder / "run"), "--logs", str(self.folder / "logs"), *options]
        try:
            with processes.running(argv, cwd=ROOT, log=self.folder / "supervisor.log") as process:
                yield process
        finally:
            self.record.clear_leftovers()

    def child(self, name: str) -> ProcessMark:
        """Wait until the process runs and return it."""
        return eventually(lambda: self._running().get(name), what=f"{name} to run")

    def another(self, name: str, former: ProcessMark) -> ProcessMark:
        return eventually(
            lambda: (found := self._running().get(name)) != former and found, what=f"{name} to be started again"
        )

    def log(self, name: str) -> str:
        path = self.folder / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def _running(self) -> dict[str, ProcessMark]:
        return {name: mark for name, mark in self.record.children().items() if mark.is_alive}


def _quote(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


@pytest.fixture
def keeper(tmp_path: Path) -> Keeper:
    return Keeper(tmp_path)


def test_a_killed_process_is_started_again_with_another_pid(keeper: Keeper) -> None:
    keeper.write(web=["sleep", "1000"])
    with keeper.running():
        first = keeper.child("web")
        os.kill(first.pid, signal.SIGKILL)
        second = keeper.another("web", first)
        assert second.pid != first.pid
        assert keeper.record.read()["processes"]["web"]["restarts"] == 1


def test_what_a_killed_process_started_dies_with_it(keeper: Keeper, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    keeper.write(web=[sys.executable, "-c", WITH_CHILD, str(note)])
    with keeper.running():
        first = keeper.child("web")
        grandchild = eventually(lambda: note.exists() and note.read_text() and int(note.read_text()))
        os.kill(first.pid, signal.SIGKILL)
        eventually(lambda: not processes.is_alive(grandchild), what="the end of the killed process's child")


def test_a_process_that_keeps_dying_is_tried_again_and_again(keeper: Keeper) -> None:
    keeper.write(web=["false"], worker=["sleep", "1000"])
    with keeper.running():
        eventually(lambda: keeper.record.read().get("processes", {}).get("web", {}).get("restarts", 0) >= 3)
        assert keeper.child("worker").is_alive


def test_a_missing_program_is_told_in_its_log_and_harms_nothing_else(keeper: Keeper) -> None:
    keeper.write(web=["no-such-program-here"], worker=["sleep", "1000"])
    with keeper.running():
        assert keeper.child("worker").is_alive
        eventually(lambda: "cannot start" in keeper.log("web"))


def test_sigterm_ends_everything_and_redis_last(keeper: Keeper, tmp_path: Path) -> None:
    order = tmp_path / "order"
    names = ("redis", "web", "worker")
    keeper.write(**{name: [sys.executable, "-c", TELL_END, str(order), name] for name in names})
    with keeper.running() as supervisor:
        for name in names:
            eventually(lambda name=name: "is up" in keeper.log(name))
        children = [keeper.child(name) for name in names]
        supervisor.terminate()
        assert supervisor.wait(timeout=30) == 0
    assert not any(child.is_alive for child in children)
    ended = order.read_text().split()
    assert sorted(ended) == sorted(names)
    assert ended[-1] == "redis"
    assert keeper.record.read() == {}


def test_after_the_supervisor_was_killed_the_next_one_clears_away_and_starts_anew(keeper: Keeper) -> None:
    keeper.write(web=["sleep", "1000"])
    with keeper.running() as supervisor:
        left = keeper.child("web")
        supervisor.kill()
        supervisor.wait(timeout=30)
        assert left.is_alive
        assert keeper.record.supervisor() is None
        with keeper.running():
            keeper.another("web", left)
            assert not left.is_alive


def test_a_second_supervisor_of_the_same_folder_refuses(keeper: Keeper) -> None:
    keeper.write(web=["sleep", "1000"])
    with keeper.running():
        first = keeper.child("web")
        with keeper.running() as second:
            assert second.wait(timeout=30) == 1
            assert first.is_alive


def test_a_stranger_with_a_recorded_pid_is_never_touched(keeper: Keeper) -> None:
    with processes.running(["sleep", "1000"]) as stranger:
        keeper.record.write({"pid": 1, "started": 1, "processes": {"web": {"pid": stranger.pid, "started": 1}}})
        assert keeper.record.clear_leftovers() == []
        assert processes.is_alive(stranger.pid)


def test_what_a_dead_supervisor_left_says_nothing_of_the_next_one(keeper: Keeper) -> None:
    keeper.record.write({"pid": 1, "started": 1, "processes": {"web": {"pid": None, "started": None, "restarts": 9}}})
    assert keeper.record.clear_leftovers() == []
    assert keeper.record.read() == {}


def test_instances_and_left_out_processes(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("redis: a\nweb: b -c 'd e'\nworker: f\n")
    children = children_of(procfile, {"worker": 2}, ["redis"])
    assert [(child.name, child.argv) for child in children] == [
        ("web", ["b", "-c", "d e"]),
        ("worker-1", ["f"]),
        ("worker-2", ["f"]),
    ]


def test_the_log_of_a_talkative_process_stays_bounded_while_it_goes_on(keeper: Keeper) -> None:
    talk = "import sys,time\nwhile True: sys.stdout.write('x' * 99 + chr(10)); sys.stdout.flush(); time.sleep(0.0005)"
    keeper.write(web=[sys.executable, "-c", f"exec({talk!r})"])
    with keeper.running("--log-bytes", "50000"):
        former = keeper.child("web")
        path = keeper.folder / "logs/web.log"
        eventually(lambda: path.with_suffix(".log.1").exists())
        eventually(lambda: 0 < path.stat().st_size < 50_000)
        size = path.stat().st_size
        eventually(lambda: path.stat().st_size != size)
        assert keeper.child("web") == former
        assert {len(line) for line in path.with_suffix(".log.1").read_text().splitlines()[:-1]} == {99}
