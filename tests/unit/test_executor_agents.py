"""Starting an agent where the disk is full: nothing stays behind that would be taken for an agent."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from executor import agents as module
from executor.agents import Agents
from executor.protocol import AgentSpec
from executor.settings import Limits


def agents(tmp_path: Path, spawn: Any) -> Agents:
    settings = SimpleNamespace(state=str(tmp_path), paths={}, limits=Limits())
    return Agents(cast(Any, settings), cast(Any, SimpleNamespace(spawn=spawn)), lambda _path, _data: None)


def spec() -> AgentSpec:
    told = {"agentId": "run_1.1", "runId": "run_1", "adapter": "scripted", "argv": ["true"], "env": {}, "cwd": "/"}
    return AgentSpec.from_json({**told, "files": {}, "secrets": [], "labels": {}})


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_agent_that_a_full_disk_kept_from_starting_can_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: list[object] = []

    def spawn(command: object) -> None:
        spawned.append(command)
        if len(spawned) == 1:
            full()
        raise ValueError("far enough")

    mine = agents(tmp_path, spawn)
    with monkeypatch.context() as broken:
        broken.setattr(module.json, "dump", full)
        with pytest.raises(OSError, match="No space"):
            mine.start(spec(), 1)
    assert os.listdir(tmp_path / "journals") == []

    with pytest.raises(OSError, match="No space"):
        mine.start(spec(), 1)  # its journal was begun, its process not
    assert os.listdir(tmp_path / "journals") == []

    assert mine.start(spec(), 1).exit == "spawn_failed: far enough"
    assert len(spawned) == 2
    assert json.loads((tmp_path / "journals/run_1.1/agent.json").read_text())["runId"] == "run_1"
