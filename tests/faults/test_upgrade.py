"""An upgrade under load: the code as it was when the main job closed drives runs while today's takes its place (R18)."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app import db
from app.models import AgentRun, HumanLoopRequest, RunEvent
from app.services.log_check import check
from tests.support.fleet import ROOT, Code, open_fleet
from tests.support.verdicts import LONG, Figures
from tests.support.waiting import eventually
from tests.support.web import serving, settings_of
from tests.support.world import open_world

CLOSED = "3305e5e8d83f4a7187fe3b6aecd725a98300bdff"
"""The commit with which the main job closed: migrations 0001 to 0003."""
TOKEN = "pdk_upgraded"
QUICK = {"lease_seconds": 2.0, "heartbeat_seconds": 1.0}
INSTALL = """
import sys
from app import db
from app.services import identity
database = db.connect(sys.argv[1])
db.bind(database)
print(len(db.migrate(database)))
identity.bootstrap(sys.argv[2])
"""


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Code:
    """That code in a folder of its own; it runs with today's packages."""
    if subprocess.run(["git", "cat-file", "-e", f"{CLOSED}^{{commit}}"], cwd=ROOT, check=False).returncode:
        pytest.skip(f"the clone is shallow: commit {CLOSED[:7]}, whose workers are to be upgraded, is not in it")
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(["git", "archive", CLOSED], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive, check=True)
    return Code(folder)


@pytest.fixture(params=["sqlite", "postgres"])
def old_database(request: pytest.FixtureRequest, tmp_path: Path, old: Code) -> Iterator[str]:
    """A database that the old code made."""
    name = f"old_{uuid.uuid4().hex[:12]}"
    server: Any = request.getfixturevalue("postgres") if request.param == "postgres" else None
    url = server.create(name) if server else f"sqlite:///{tmp_path / name}.sqlite3"
    code = [sys.executable, "-c", INSTALL, url, TOKEN]
    done = subprocess.run(code, cwd=old.folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "3"
    yield url
    if server:
        server.drop(name)


def start(client: httpx.Client, prompt: str) -> str:
    body = {"prompt": prompt, "provider": "scripted"}
    headers = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
    answer = client.post("/api/runs/start", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["runId"])


def allow(client: httpx.Client, run_id: str) -> None:
    request = eventually(lambda: HumanLoopRequest.get_or_none(HumanLoopRequest.run_id == run_id), what="the question")
    body = {"requestId": request.id, "decision": "allow"}
    answer = client.post("/api/human-loop/reply", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert (answer.status_code, answer.json()["duplicate"]) == (200, False), answer.text


def streams(client: httpx.Client, run_id: str) -> bool:
    return int(client.get(f"/api/runs/{run_id}").json()["lastSeq"]) > 8


def migrate_twice_at_once(url: str) -> list[str]:
    applied: list[str] = []

    def migrate() -> None:
        opened = db.connect(url)
        applied.extend(db.migrate(opened))
        opened.close()

    threads = [threading.Thread(target=migrate) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return applied


@pytest.mark.promise("R18")
@pytest.mark.timeout(600)
def test_no_run_fails_while_the_old_code_is_replaced_under_load(
    old: Code, old_database: str, redis_url: str, tmp_path: Path, figures: Figures
) -> None:
    count, words = (20, 400) if LONG else (2, 80)
    var = tmp_path / "var"
    before = SimpleNamespace(settings=settings_of(var, old_database, redis_url, **QUICK))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with ExitStack() as machines:
        old_web = machines.enter_context(serving(before.settings, folder=old.folder))
        was = machines.enter_context(open_fleet(before, 2, old))
        client = machines.enter_context(
            httpx.Client(base_url=old_web.url, headers=headers, timeout=60, trust_env=False)
        )
        ids = [start(client, f"/slow {words} 50") for _ in range(count)]
        asking = [start(client, "/say before\n/approve go on?\n/say after") for _ in range(2)]
        eventually(lambda: all(streams(client, run_id) for run_id in ids), 60, what="runs of the old code stream")
        applied = migrate_twice_at_once(old_database)  # under the eyes of the old workers
        assert len(applied) == len(set(applied)) == len(db.migration_names(sqlite="sqlite:" in old_database)) - 3
        ids += [start(client, "hello"), start(client, f"/slow {words} 50")]  # still by the old web
        world = machines.enter_context(open_world(var, old_database, redis_url, **QUICK))
        assert migrate_twice_at_once(old_database) == []
        machines.enter_context(open_fleet(world, 2))
        new_web = machines.enter_context(serving(world.settings))
        api = machines.enter_context(httpx.Client(base_url=new_web.url, headers=headers, timeout=60, trust_env=False))
        ids += [start(api, "hello"), start(api, f"/slow {words} 50")]
        for worker in was.workers:
            worker.send_signal(signal.SIGTERM)
        for worker in was.workers:
            worker.wait(30)
        for run_id in asking:
            allow(api, run_id)
        ids += asking
        eventually(lambda: not AgentRun.select().where(AgentRun.finished_at.is_null()).exists(), 120, what="all end")
        assert [world.run(run_id).status for run_id in ids] == ["succeeded"] * len(ids)
        assert {world.run(run_id).attempt for run_id in ids} == {1}
        for run_id in ids:
            assert check(run_id, world.container.stream) == []
        assert RunEvent.select().where(RunEvent.type == "run.finished").count() == len(ids)
    figures.add("runs over the upgrade", len(ids))
    figures.add("failed", 0, bar="= 0")
    figures.add("migrations under live workers", len(applied))
