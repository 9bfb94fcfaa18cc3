"""Fixtures of the contract suites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.adapters.bubblewrap import bubblewrap_usable
from app.adapters.httpx_executor import HttpxExecutor
from app.adapters.local_sandboxes import LocalSandboxes
from tests.support.sandboxes import local_sandboxes, spec


@pytest.fixture(params=["bubblewrap", "plain"])
def sandbox_mode(request: pytest.FixtureRequest) -> str:
    """Both kinds of local sandbox; bubblewrap only where the kernel allows it."""
    mode: str = request.param
    if mode == "bubblewrap" and not bubblewrap_usable():
        pytest.skip("bubblewrap cannot be used on this machine")
    return mode


@pytest.fixture
def sandboxes(tmp_path: Path, sandbox_mode: str) -> Iterator[LocalSandboxes]:
    with local_sandboxes(tmp_path / "sandboxes", sandbox_mode) as made:
        yield made


@pytest.fixture
def executor(sandboxes: LocalSandboxes) -> HttpxExecutor:
    """The executor of a fresh sandbox `ses_1`, generation 1."""
    return sandboxes.start(spec())
