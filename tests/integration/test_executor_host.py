"""One external executor host for all sessions (EXECUTOR_BASE_URL): a real process on TCP, driven by the back end as any sandbox."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters import external_sandboxes
from app.adapters.executor_address import ExecutorClientSettings
from app.adapters.external_sandboxes import ExternalSandboxes
from app.errors import Unavailable
from app.models import AgentRun, SessionWorker
from app.ports import EVERY_GENERATION
from app.services import run_claims, run_driver
from app.services.log_check import check
from executor import http1
from executor.http1 import Request, Response, json_response
from tests.support import processes
from tests.support.executor_faults import FaultProxy, serve
from tests.support.sandboxes import python, said, spec, start
from tests.support.waiting import eventually
from tests.support.web import HOST, free_port
from tests.support.world import World, open_world, with_own_connection
from web import create_app

TOKEN = "host-token-0123456789"
QUICK = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3, "executor_retry_delay_ms": 1, "log_level": "CRITICAL"}


@contextmanager
def host(folder: Path, port: int, orphan_seconds: float = 5) -> Iterator[Any]:
    argv = [
        sys.executable,
        "-m",
        "workers.executor_host",
        "--listen",
        f"127.0.0.1:{port}",
        "--folder",
        str(folder / "boxes"),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "EXECUTOR_AUTH_TOKEN": TOKEN}
    with processes.running(
        argv, env={**environment, "PADDOCK_ORPHAN_SECONDS": str(orphan_seconds)}, log=folder / "host.log"
    ) as process:
        url = f"http://127.0.0.1:{port}/health"
        eventually(lambda: httpx.get(url, trust_env=False).is_success, what="the host", ignore=(httpx.TransportError,))
        yield process


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    (tmp_path / "host").mkdir()
    with host(tmp_path / "host", port):
        yield f"http://127.0.0.1:{port}"


def sandboxes(address: str, token: str = TOKEN) -> Any:
    return closing(ExternalSandboxes(address, token, ExecutorClientSettings(max_retries=1, retry_delay_ms=1)))


@contextmanager
def world_on(address: str, tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {**QUICK, "executor_base_url": address, "executor_auth_token": TOKEN}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world
    world.container.sandboxes.close()


def test_sessions_live_side_by_side_on_one_host_and_move_through_the_store(
    address: str, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with world_on(address, tmp_path, database_url, redis_url) as world:
        made = []
        for text in ("one", "two"):
            made.append(world.create(f"/write file.txt {text}\n/say {text}"))
            with world.answering():
                assert world.drive().status == "succeeded"
        boxes = world.container.sandboxes
        assert boxes.list_running() == sorted(run.session_id for run in made)
        first, second = (boxes.connect(run.session_id) for run in made)
        assert [each.read_file("file.txt", offset=0, limit=9)[0].strip() for each in (first, second)] == [
            b"one",
            b"two",
        ]

        workers, session = world.container.session_workers, made[0].session_id
        workers.stop(session)
        workers.remove(session)
        assert not boxes.exists(session)
        again = workers.activate(session)
        assert again.restored == "restored"
        assert again.executor.read_file("file.txt", offset=0, limit=9)[0].strip() == b"one"
        assert not (tmp_path / "var/sandboxes").exists()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_says_what_to_do_when_the_host_stays_down_and_the_next_goes_on_when_it_is_back(
    database: object, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del database
    monkeypatch.setattr(run_driver, "AWAY_SECONDS", 0)
    port = free_port()
    (tmp_path / "host").mkdir()
    with ExitStack() as at_end, world_on(f"http://127.0.0.1:{port}", tmp_path, database_url, redis_url) as world:
        with host(tmp_path / "host", port):
            run = world.create("/write a.txt one\n/say one")
            with world.answering():
                assert world.drive().status == "succeeded"
        app = create_app(world.container)
        failed = world.create("/say two", run.session_id)
        for _ in range(world.settings.max_attempts):
            world.wait_for(lambda: run_claims.count(1), "the retry")
            row = world.drive()
        assert (row.id, row.status, row.failure_code) == (failed.id, "failed", "setup_failed")
        assert "EXECUTOR_BASE_URL" in row.remedy
        assert (
            SessionWorker.get_by_id(run.session_id).status == "running"
        )  # nothing is taken for lost because of a network
        ready = app.test_client().get("/ready", headers={"Host": HOST})
        assert (ready.status_code, ready.json["checks"]["executorHost"]["status"]) == (503, "failed")
        app.extensions["paddock"].hub.close()
        at_end.enter_context(host(tmp_path / "host", port))
        world.create("/say three", run.session_id)
        assert world.drive().message == "three"
        executor = world.container.sandboxes.connect(run.session_id)
        assert executor is not None
        assert executor.read_file("a.txt", offset=0, limit=9)[0].strip() == b"one"


def test_a_host_that_is_away_for_a_while_costs_no_run_anything(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_driver, "AWAY_PAUSE_SECONDS", 0.05)
    away: list[str] = []
    unavailable = external_sandboxes._unavailable

    def noted(why: str) -> Unavailable:
        away.append(threading.current_thread().name)
        return unavailable(why)

    monkeypatch.setattr(external_sandboxes, "_unavailable", noted)
    port = free_port()
    (tmp_path / "host").mkdir()
    with ExitStack() as at_end, world_on(f"http://127.0.0.1:{port}", tmp_path, database_url, redis_url) as world:

        def drive(prompt: str) -> AgentRun:
            run = world.create(prompt)
            driver = threading.Thread(target=with_own_connection, args=(world.drive,), name=run.id)
            driver.start()
            at_end.callback(driver.join)
            return run

        with host(tmp_path / "host", port, orphan_seconds=60):
            live = drive("/slow 40 50")
            eventually(lambda: "message.delta" in world.types(live.id), what="the agent speaks")
        new = drive("/say two")
        eventually(lambda: min(away.count(live.id), away.count(new.id)) > 3, what="both have found nobody")
        at_end.enter_context(host(tmp_path / "host", port, orphan_seconds=60))
        for made in (live, new):
            eventually(lambda made=made: world.run(made.id).finished_at, what="the run ends")
            run = world.run(made.id)
            assert (run.status, run.attempt, run.failures) == ("succeeded", 1, 0), run.failure_message
            assert check(run.id, world.container.stream) == []


def test_a_wrong_token_and_a_strange_protocol_are_told_apart_before_a_run(address: str) -> None:
    with sandboxes(address) as good:
        good.check()
    with sandboxes(address, "wrong") as bad, pytest.raises(Unavailable, match="token") as caught:
        bad.check()
    assert "EXECUTOR_AUTH_TOKEN" in str(caught.value.remedy)

    def stranger(_: Request) -> Response:
        return json_response({"protocol": 99, "running": []})

    port = free_port()
    server = http1.listen(f"tcp:127.0.0.1:{port}")
    threading.Thread(target=http1.serve, args=(server, stranger), daemon=True).start()
    with sandboxes(f"http://127.0.0.1:{port}") as strange, pytest.raises(Unavailable, match="Update the workers"):
        strange.check()
    with sandboxes(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(Unavailable, match="refused"):
        nobody.check()


def test_the_host_gives_no_sandbox_to_who_has_not_its_token(address: str) -> None:
    with sandboxes(address) as boxes:
        boxes.start(spec()).write_file("a", b"x")
    for headers in ({}, {"authorization": "Bearer wrong"}):
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as client:
            assert set(client.get("/health").json()) == {"protocol", "status", "host"}
            for method, path in (
                ("GET", "/sandboxes"),
                ("GET", "/sandboxes/ses_1"),
                ("DELETE", "/sandboxes/ses_1"),
                ("GET", "/sandboxes/ses_1/executor/workspace/file?path=a"),
            ):
                assert client.request(method, path).status_code == 401
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False) as client:
        for path in (
            "/sandboxes/.locks",
            "/sandboxes/%2e%2e/executor/health",
            "/sandboxes//executor/health",
            "/nothing",
        ):
            assert client.get(path).status_code in (404, 422)


def test_output_flows_and_faults_can_be_injected_in_front_of_the_host(address: str) -> None:
    proxy, port = FaultProxy(f"tcp:{address.removeprefix('http://')}"), free_port()
    serve(proxy, f"tcp:127.0.0.1:{port}")
    with sandboxes(f"http://127.0.0.1:{port}") as boxes:
        _use(boxes, proxy)


def _use(boxes: ExternalSandboxes, proxy: FaultProxy) -> None:
    executor = boxes.start(spec())
    proxy.fail("/events", times=1)
    start(executor, python("print('x' * 300_000)"))
    records = list(executor.follow("run_1.1", 0))
    assert len(said(records)[0]) == 300_000
    blob = bytes(range(256)) * 40_000  # larger than any buffer on the way
    executor.write_file("large", blob)
    assert executor.read_file("large", offset=0, limit=len(blob))[0] == blob
    boxes.remove("ses_1", EVERY_GENERATION)
    assert not boxes.exists("ses_1")
