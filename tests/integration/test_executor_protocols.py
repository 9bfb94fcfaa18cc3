"""Sandboxes outlive deploys: executors of the release before are spoken with, those of a stranger one are salvaged."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters import bubblewrap
from app.models import ChatSession
from executor import protocol
from tests.support.world import World, open_world

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "3305e5e"
"""The last commit whose executor speaks protocol 1."""


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[World]:
    settings = {"retry_delay_ms": 1.0, "stop_grace_seconds": 0.3}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


def frozen(folder: Path) -> Path:
    """Return the executor as it was; skip where this checkout's history does not have it."""
    done = subprocess.run(["git", "archive", BEFORE, "executor"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"commit {BEFORE} is not in this checkout (a shallow clone, or no git)")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=done.stdout, check=True)
    return folder / "executor"


def speaking(folder: Path, version: int) -> Path:
    """Return a copy of today's executor that tells another protocol."""
    made = folder / "executor"
    shutil.copytree(ROOT / "executor", made, ignore=shutil.ignore_patterns("__pycache__"))
    text = (made / "protocol.py").read_text()
    changed = re.sub(r"^PROTOCOL = \d+$", f"PROTOCOL = {version}", text, flags=re.MULTILINE)
    assert changed != text
    (made / "protocol.py").write_text(changed)
    return made


def spoken(world: World, session_id: str) -> object:
    executor = world.container.sandboxes.connect(session_id)
    assert executor is not None
    return executor.health()["protocol"]


def drive(world: World, prompt: str, session: str | None = None) -> tuple[str, str]:
    run = world.create(prompt, session, options={"approval": "all"})
    with world.answering():
        ended = world.drive()
    assert ended.status == "succeeded", (ended.failure_code, ended.failure_message)
    return run.session_id, run.id


def test_an_executor_of_the_release_before_serves_runs_before_and_after_a_deploy(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(bubblewrap, "EXECUTOR_FOLDER", frozen(tmp_path))
        session, _ = drive(world, "/write a.txt one\n/say first")
    assert spoken(world, session) == protocol.PROTOCOL - 1
    drive(world, "/write b.txt two\n/say second", session)  # today's worker, and the sandbox that was there
    assert spoken(world, session) == protocol.PROTOCOL - 1
    world.container.session_workers.stop(session)
    world.container.session_workers.activate(session)
    assert spoken(world, session) == protocol.PROTOCOL
    executor = world.container.sandboxes.connect(session)
    assert executor is not None
    assert executor.read_file("a.txt", offset=0, limit=9)[0] == b"one\n"


@pytest.mark.parametrize("version", [protocol.PROTOCOL - 2, protocol.PROTOCOL + 1])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_executor_that_is_too_old_or_too_new_is_salvaged_with_its_unsaved_files(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    with monkeypatch.context() as other_release:
        other_release.setattr(bubblewrap, "EXECUTOR_FOLDER", speaking(tmp_path, version))
        other_release.setattr(protocol, "SPOKEN", (version,))
        session, _ = drive(world, "/say first")
        ready = world.container.session_workers.activate(ChatSession.get().id)
        ready.executor.write_file("unsaved.txt", b"kept")
    _, run_id = drive(world, "/say second", session)
    assert spoken(world, session) == protocol.PROTOCOL
    executor = world.container.sandboxes.connect(session)
    assert executor is not None
    assert executor.read_file("unsaved.txt", offset=0, limit=9)[0] == b"kept"
    warnings = [event.data for event in world.events(run_id) if event.type == "run.warning"]
    assert [each["code"] for each in warnings] == ["sandbox_recovered"]
