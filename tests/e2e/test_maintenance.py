"""Maintenance by hand on a running installation whose objects lie in an S3, with that store coming and going."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.models import SessionWorker
from tests.support.s3 import S3Server, free_port, rclone_server
from tests.support.stack import Stack, stack
from tests.support.waiting import eventually


@pytest.fixture
def server() -> S3Server:
    return S3Server(free_port())


@pytest.fixture
def here(server: S3Server, tmp_path: Path) -> Iterator[Stack]:
    with rclone_server(tmp_path / "rclone", server.port), stack(server.environment) as running:
        yield running


def metric(client: httpx.Client, series: str) -> int:
    lines = [line.split() for line in client.get("/metrics").text.splitlines()]
    return next((int(words[1]) for words in lines if words[0] == series), 0)


def test_jobs_are_run_by_hand_counted_and_logged(here: Stack, tmp_path: Path) -> None:
    listed = json.loads(here.paddock("maintain", "--json").stdout)["items"]
    assert {"reconcile_runs", "sync_stale", "stop_idle", "remove_stopped"} <= {item["job"] for item in listed}
    with here.client() as client:
        run_id = here.start(client, "/write a.txt kept", providerOptions={"approval": "all"})
        eventually(lambda: client.get(f"/api/runs/{run_id}").json().get("finishedAt"))
        with here.opened():
            SessionWorker.update(last_sync_status="failed", last_sync_at=None).execute()
        before = metric(client, 'paddock_maintenance_effects_total{job="sync_stale"}')
        done = here.paddock("maintain", "sync_stale", "--json")
        assert json.loads(done.stdout) == {"job": "sync_stale", "did": {"done": 1, "failed": 0}}
        assert '"message":"job done"' in done.stderr
        assert metric(client, 'paddock_maintenance_effects_total{job="sync_stale"}') == before + 1
        assert metric(client, 'paddock_maintenance_runs_total{job="sweep_runs"}') >= 1
    assert any((tmp_path / "rclone").rglob("blobs/*"))  # that is where the files are
    assert not (here.var / "objects").exists()
    refused = here.paddock("maintain", "make_coffee")
    assert refused.returncode == 2
    assert "sync_stale" in refused.stderr


def test_ready_names_a_store_that_is_away_and_the_rest_goes_on(server: S3Server, tmp_path: Path) -> None:
    store = contextlib.ExitStack()
    store.enter_context(rclone_server(tmp_path / "rclone", server.port))
    with store, stack(server.environment) as here:
        store.close()
        with here.client() as client:
            answer = client.get("/ready")
            assert answer.status_code == 503
            failed = {name for name, check in answer.json()["checks"].items() if check["status"] != "ok"}
            assert failed == {"objectStore"}
            run_id = here.start(client, "/write a.txt kept", providerOptions={"approval": "all"})
            eventually(lambda: client.get(f"/api/runs/{run_id}").json().get("finishedAt"), 90)
            run = client.get(f"/api/runs/{run_id}").json()
            assert run["status"] == "succeeded"
            worker = client.get(f"/api/session-workers/{run['sessionId']}").json()
            assert (worker["status"], worker["syncState"]) == ("running", "local_only")
            with rclone_server(tmp_path / "rclone", server.port):
                here.wait_until_ready()
                body = {"olderThanSeconds": 0, "timeoutMs": 30_000}
                headers = {"Idempotency-Key": "save-again"}
                answer = client.post("/api/reconcile/sync", json=body, headers=headers)
                assert (answer.status_code, answer.json()["done"]) == (200, 1), answer.text
                worker = client.get(f"/api/session-workers/{run['sessionId']}").json()
                assert worker["syncState"] == "synced"
