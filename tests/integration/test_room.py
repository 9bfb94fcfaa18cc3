"""What users and operators are told where there is no room for new work, and on which Redis nothing starts; over the real parts."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import uuid
from pathlib import Path

import peewee
import pytest

from app import db
from app.adapters.redis_gauge import InfoRedisGauge
from app.errors import Unavailable
from app.models import AgentRun, ChatSession
from app.services import redis_check
from cli import doctor
from tests import cast, factories
from tests.support import web as web_support
from tests.support.redis import RedisServer, redis_server
from tests.support.web import settings_of

ROOT = Path(__file__).resolve().parents[2]
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_new_work_is_refused_and_the_rest_goes_on(
    database: object, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    web = web_support.make(settings_of(tmp_path / "var", database_url, redis_url))
    people = cast.assemble()
    body = {"provider": "scripted", "prompt": "hello"}
    key = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async", **people.bob.headers}
    made = web.post("/api/runs/start", key, json=body)
    assert made.status_code == 202

    full = web_support.make(settings_of(tmp_path / "var", database_url, redis_url, min_free_bytes=2**62))
    fresh = {"Prefer": "respond-async", **people.bob.headers}
    bundle = {"Content-Type": "application/x-git-bundle", **people.bob.headers}
    for refused in (
        full.post("/api/runs/start", fresh, json=body),
        full.post("/api/runs/queue/enqueue", fresh, json=body),
        full.post("/api/bundles", bundle, data=io.BytesIO(b"# v2 git bundle\n")),
    ):
        assert (refused.status_code, refused.json["code"]) == (503, "disk_full")
        assert refused.json["retryable"] is True
        assert refused.json["remedy"]
        assert int(refused.headers["Retry-After"]) > 1
    assert AgentRun.select().count() == 1
    assert full.post("/api/runs/start", key, json=body).json["runId"] == made.json["runId"]
    waits = full.get(f"/api/runs/{made.json['runId']}", people.bob.headers).json["waitingFor"]
    assert waits["reason"] == "disk_full"
    assert full.post(f"/api/runs/{made.json['runId']}/stop", people.bob.headers, json={}).status_code == 200
    ready = full.get("/ready")
    assert (ready.status_code, ready.json["status"], ready.json["checks"]["disk"]["code"]) == (
        503,
        "degraded",
        "disk_full",
    )


def test_a_disk_that_is_full_after_all_is_no_defect(
    database: object, database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = web_support.make(settings_of(tmp_path / "var", database_url, redis_url))
    people = cast.assemble()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("web.api.bundles.bundles.create", full)
    headers = {"Content-Type": "application/x-git-bundle", **people.bob.headers}
    answer = web.post("/api/bundles", headers, data=io.BytesIO(b"# v2 git bundle\n"))
    assert (answer.status_code, answer.json["code"]) == (503, "disk_full")


def start(module: str, *arguments: str, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        argv, cwd=ROOT, env={**kept, **settings}, capture_output=True, text=True, timeout=60, check=False
    )


@sqlite_only
def test_a_database_without_room_says_so_and_goes_on_when_there_is_some(database: peewee.Database) -> None:
    bob = cast.assemble().bob

    def fill() -> None:
        with db.transaction():
            for _ in range(100):
                factories.session(bob, "x" * 200)

    pages = database.execute_sql("PRAGMA page_count").fetchone()[0]
    database.execute_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable) as caught:
        fill()
    assert (caught.value.code, "rollback" in caught.value.message) == ("disk_full", False)
    database.execute_sql("PRAGMA max_page_count = 100000")
    assert ChatSession.select().count() == 0
    fill()
    assert ChatSession.select().count() == 100


@sqlite_only
def test_nothing_starts_on_a_redis_that_throws_keys_away(database_url: str, tmp_path: Path) -> None:
    with redis_server("--maxmemory-policy", "allkeys-lru") as server:
        settings = {"PADDOCK_VAR": str(tmp_path / "var"), "DATABASE_URL": database_url, "REDIS_URL": server.url}
        settings["PADDOCK_PORT"] = str(web_support.free_port())
        commands = (
            ("workers", "runs"),
            ("workers", "maintenance"),
            ("scheduler",),
            ("gunicorn", "-c", "web/gunicorn.conf.py", "web.wsgi:app"),
        )
        for module, *arguments in commands:
            done = start(module, *arguments, settings=settings)
            assert done.returncode != 0, module
            assert "allkeys-lru" in done.stdout + done.stderr, module
            assert "CONFIG SET maxmemory-policy noeviction" in done.stdout + done.stderr, module
        found = doctor.redis_server(settings_of(tmp_path / "var", database_url, server.url), running=False)
        assert (found.state, "allkeys-lru" in found.text) == ("problem", True)
        assert "noeviction" in found.remedy


def test_the_redis_that_paddock_starts_itself_is_fit(own_redis: RedisServer) -> None:
    state = InfoRedisGauge(own_redis.url).look()
    assert redis_check.faults_of(state, own=True) == []
    assert state.append_error == ""
