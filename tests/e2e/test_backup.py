"""A backup of an installation at work, restored on a place where nothing ever was: promise R19, on both databases."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.models import AgentRun, RunEvent, SessionWorker
from app.services.backup_archive import reading
from app.services.log_check import check
from tests.support.postgres import PostgresServer
from tests.support.stack import Stack, stack
from tests.support.verdicts import Figures
from tests.support.waiting import eventually

ALL = {"providerOptions": {"approval": "all"}}


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest) -> Iterator[list[dict[str, str]]]:
    """The environments of two installations, each with an empty database of its own."""
    if request.param == "sqlite":
        yield [{}, {}]
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    names = ["t_backup_here", "t_backup_elsewhere"]
    yield [{"DATABASE_URL": server.create(name)} for name in names]
    for name in names:
        server.drop(name)


def ended(client: httpx.Client, run_id: str) -> dict[str, Any]:
    """Wait for the end of a run and return it."""

    def look() -> dict[str, Any] | None:
        run: dict[str, Any] = client.get(f"/api/runs/{run_id}").json()
        return run if run.get("finishedAt") else None

    found = eventually(look, 90, what=f"the end of {run_id}")
    assert found is not None
    return found


@contextlib.contextmanager
def load(here: Stack) -> Iterator[list[str]]:
    """Start one run after the other, in sessions of their own, as long as the block lasts."""
    done, started = threading.Event(), list[str]()

    def work() -> None:
        with here.client() as client:
            while not done.wait(0.05):
                number = len(started)
                prompt = (
                    f"/write a{number}.txt {number}\n/run head -c 40000 /dev/zero | tr '\\0' {number % 10}\n/slow 10 20"
                )
                started.append(here.start(client, prompt, **ALL))
                if number % 4 == 3:
                    ended(client, started[-4])  # not faster than they are worked off

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield started
    finally:
        done.set()
        worker.join()


def logs_of(here: Stack, run_ids: list[str]) -> dict[str, list[tuple[int, str, Any]]]:
    with here.opened():
        rows = RunEvent.select().where(RunEvent.run_id.in_(run_ids)).order_by(RunEvent.seq)
        logs: dict[str, list[tuple[int, str, Any]]] = {run_id: [] for run_id in run_ids}
        for row in rows:
            logs[row.run_id].append((row.seq, row.type, row.data))
        return logs


@pytest.mark.promise("R19")
@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_backup_under_load_restores_everything_elsewhere(
    databases: list[dict[str, str]], tmp_path: Path, figures: Figures
) -> None:
    file = tmp_path / "last.backup"
    with stack(databases[0]) as here, here.client() as client:
        first = ended(client, here.start(client, "/remember the number is 41\n/write keep.txt kept", **ALL))
        with load(here) as started:
            eventually(lambda: len(started) >= 4)
            for name in ("first", "second"):
                assert here.paddock("backup", str(tmp_path / f"{name}.backup")).returncode == 0
            with here.opened():
                before = [run.id for run in AgentRun.select().where(AgentRun.finished_at.is_null(False))]
            at_work = here.start(client, "/remember it was at work\n/slow 300 50\n/write late.txt late", **ALL)
            eventually(lambda: client.get(f"/api/runs/{at_work}").json()["status"] == "running")
            done = here.paddock("backup", str(file), "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["missing"] == json.loads(done.stdout)["damaged"] == []
        assert here.paddock("backup", str(file)).returncode == 2  # never over another one
        logs, token = logs_of(here, before), here.token
        with here.opened() as container, reading(file) as archive:
            for key in archive.manifest.keys:
                with container.store.get(key) as stream:
                    digest = hashlib.sha256(stream.read()).hexdigest()
                assert digest == archive.manifest.members[f"objects/{key}"].sha256
            members = dict(archive.manifest.members)

    def restore(there: Stack) -> None:
        answer = there.paddock("restore", str(file))
        assert answer.returncode == 0, answer.stderr
        assert there.paddock("restore", str(file)).returncode == 2

    begun = time.monotonic()
    with stack(databases[1], restore) as there:
        taken = time.monotonic() - begun
        figures.add("RTO: restored and ready in", f"{taken:.0f} s", "<= 15 min", met=taken <= 900)
        figures.add("objects with equal hashes", sum(name.startswith("objects/") for name in members), "all")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=there.url, headers=headers, timeout=60, trust_env=False) as client:
            assert client.get("/api/me").status_code == 200
            assert logs_of(there, before) == logs
            continued = ended(client, there.start(client, "/recall\n/read keep.txt", sessionId=first["sessionId"]))
            assert continued["status"] == "succeeded"
            assert "the number is 41" in continued["message"]
            again = ended(client, at_work)
            assert (again["status"], again["attempt"]) == ("succeeded", 2)
            late = client.get(f"/api/session-workers/{again['sessionId']}/workspace/file", params={"path": "late.txt"})
            assert late.content == b"late\n"
            with there.opened() as container:
                open_runs = list(AgentRun.select().where(AgentRun.finished_at.is_null()))
                for run in open_runs:
                    assert ended(client, run.id)["status"] == "succeeded"
                for run in AgentRun.select():
                    assert check(run.id, container.stream) == []
                for key in [name.removeprefix("objects/") for name in members if name.startswith("objects/")]:
                    with container.store.get(key) as stream:
                        assert hashlib.sha256(stream.read()).hexdigest() == members[f"objects/{key}"].sha256
                assert {worker.status for worker in SessionWorker.select()} <= {"deleted", "running", "stopped"}


def test_a_running_installation_is_not_restored_into(tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    with stack() as here:
        assert here.paddock("backup", str(file)).returncode == 0
        refused = here.paddock("restore", str(file))
        assert refused.returncode == 2
        assert "runs" in refused.stderr
        here.down(agents=True)
        refused = here.paddock("restore", str(file))
        assert refused.returncode == 2
        assert "Redis of another installation" in refused.stderr
