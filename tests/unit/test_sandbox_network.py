"""Which settings fence the network of sandboxes, and which cannot."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from app.config import Settings
from cli import doctor

FENCED = {"PADDOCK_SANDBOX_NETWORK": "model-only", "PADDOCK_PORT": 9000}
KEY = {"ANTHROPIC_API_KEY": "sk-test"}


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    ("given", "only_peer"),
    [
        (KEY, None),
        ({**FENCED, **KEY}, "127.0.0.1:9001"),
        ({**FENCED, **KEY, "PADDOCK_MODEL_PROXY_PORT": 7000}, "127.0.0.1:7000"),
        ({**FENCED, **KEY, "PADDOCK_MODEL_PROXY_URL": "http://localhost:9001/"}, "localhost:9001"),
        (FENCED, ""),
        ({**FENCED, **KEY, "PADDOCK_PROVIDER_MODE": "scripted"}, ""),
    ],
)
def test_agents_reach_the_model_proxy_or_nothing(given: dict[str, Any], only_peer: str | None) -> None:
    assert settings(**given).only_peer == only_peer


@pytest.mark.parametrize(
    "given",
    [
        {**KEY, "PADDOCK_MODEL_PROXY": False},
        {**KEY, "PADDOCK_MODEL_PROXY_URL": "http://paddock.example.com:8001"},
        {**KEY, "PADDOCK_MODEL_PROXY_URL": "http://127.0.0.1"},
        {**KEY, "PADDOCK_MODEL_PROXY_HOST": "::"},
        {"EXECUTOR_BASE_URL": "http://127.0.0.1:8090", "EXECUTOR_AUTH_TOKEN": "t"},
    ],
)
def test_what_would_not_hold_is_refused_at_the_start(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="PADDOCK_SANDBOX_NETWORK"):
        settings(**FENCED, **given)


def test_the_doctor_says_where_no_sandbox_would_start() -> None:
    assert doctor.bubblewrap(settings(**FENCED, PADDOCK_BUBBLEWRAP="off")).state == "problem"
    assert doctor.bubblewrap(settings(PADDOCK_BUBBLEWRAP="off")).state == "warning"
