"""The second message of a session reaches every real agent as it was written: planned by the product, on top of what the first left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_server import ModelServer
from tests.support.world import World, open_world

pytestmark = [pytest.mark.real_agent, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def world(tmp_path: Path, database_url: str, redis_url: str, model: ModelServer) -> Iterator[World]:
    settings: dict[str, Any] = {"anthropic_base_url": model.url, "anthropic_api_key": "sk-scripted"}
    settings |= {"openai_base_url": f"{model.url}/v1", "openai_api_key": "sk-scripted"}
    with open_world(tmp_path / "var", database_url, redis_url, **settings) as world:
        yield world


@pytest.mark.parametrize("kind", ["claude-code", "codex-cli", "opencode", "acp"])
def test_a_second_message_is_told_as_it_was_written(world: World, model: ModelServer, kind: str) -> None:
    first = world.create("remember the lion", provider=kind)
    assert world.drive().status == "succeeded"
    second = world.create("now the zebra", first.session_id, provider=kind)
    ended = world.drive()
    assert (ended.id, ended.status) == (second.id, "succeeded"), ended.failure_message
    asked = str(model.calls[-1].body)
    assert asked.count("now the zebra") == 1
    assert "remember the lion" in asked
    assert ended.conversation_id == world.run(first.id).conversation_id
    modes = [event.data["mode"] for event in world.events(second.id) if event.type == "context.restored"]
    assert modes == ["native_resume"]
