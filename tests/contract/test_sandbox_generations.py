"""Who comes late ends nobody else's sandbox: `Sandboxes.stop` and `remove` know the generation that they mean, over all adapters."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.adapters.external_sandboxes import ExternalSandboxes
from app.adapters.local_sandboxes import LocalSandboxes
from app.ports import EVERY_GENERATION, ExecutorError
from executor import http1
from tests.support.folder_host import FolderSandboxes
from tests.support.sandboxes import QUICK, local_sandboxes, spec
from tests.support.web import free_port
from workers.executor_host import ExecutorHost

TOKEN = "host-token-0123456789"


@contextmanager
def host_of(sandboxes: LocalSandboxes) -> Iterator[str]:
    """Serve local sandboxes as an external host does; the address."""
    address = f"127.0.0.1:{free_port()}"
    server = http1.listen(f"tcp:{address}")
    threading.Thread(target=http1.serve, args=(server, ExecutorHost(sandboxes, TOKEN).handle), daemon=True).start()
    yield f"http://{address}"


@pytest.fixture(params=["local", "external", "folder"])
def boxes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The two adapters, and the stand-in that tests of the services use."""
    if request.param == "folder":
        yield FolderSandboxes(tmp_path / "sandboxes")
        return
    with local_sandboxes(tmp_path / "sandboxes", "bubblewrap") as local:
        if request.param == "local":
            yield local
            return
        with host_of(local) as address, closing(ExternalSandboxes(address, TOKEN, QUICK)) as external:
            yield external


def test_a_late_stop_leaves_a_later_generation_alone(boxes: Any) -> None:
    boxes.start(spec(generation=1))
    second = boxes.start(spec(generation=2))
    before = second.health()
    boxes.stop("ses_1", 1)
    assert boxes.list_running() == ["ses_1"]
    assert second.health() == before
    boxes.stop("ses_1", 2)
    assert boxes.list_running() == []
    assert boxes.exists("ses_1")


def test_a_late_removal_is_refused_also_where_the_later_generation_runs_no_more(boxes: Any) -> None:
    boxes.start(spec(generation=1))
    boxes.start(spec(generation=2)).write_file("unsaved", b"x")
    for _ in range(2):
        with pytest.raises(ExecutorError) as refused:
            boxes.remove("ses_1", 1)
        assert refused.value.code == "wrong_generation"
        boxes.stop("ses_1", 2)
    assert boxes.start(spec(generation=3)).read_file("unsaved", offset=0, limit=1)[0] == b"x"
    boxes.remove("ses_1", 3)
    assert not boxes.exists("ses_1")
    boxes.remove("ses_1", 3)


def test_a_stop_or_removal_of_a_later_generation_takes_what_is_left_of_earlier_ones(boxes: Any) -> None:
    boxes.start(spec(generation=2))
    boxes.stop("ses_1", 5)
    assert boxes.list_running() == []
    boxes.start(spec(generation=3))
    boxes.remove("ses_1", 5)
    assert (boxes.list_running(), boxes.exists("ses_1")) == ([], False)


def test_the_generations_of_one_sandbox_are_nothing_to_another(boxes: Any) -> None:
    boxes.start(spec("one", generation=7))
    boxes.start(spec("two", generation=1))
    boxes.stop("two", 1)
    boxes.remove("two", 1)
    assert boxes.list_running() == ["one"]
    boxes.stop("one", EVERY_GENERATION)
    assert boxes.list_running() == []


def test_a_start_that_was_cut_off_counts(tmp_path: Path) -> None:
    """Its executor is there and sandbox.json is not: the stop of an earlier generation does not touch it."""
    with local_sandboxes(tmp_path / "sandboxes", "bubblewrap") as local:
        executor = local.start(spec(generation=2))
        written = (local._sandbox("ses_1") / "sandbox.json").rename(tmp_path / "sandbox.json")
        local.stop("ses_1", 1)
        assert executor.health()["generation"] == 2
        written.rename(local._sandbox("ses_1") / "sandbox.json")


def test_a_sandbox_of_a_release_that_wrote_no_generation_down_is_known_by_what_runs(tmp_path: Path) -> None:
    with local_sandboxes(tmp_path / "sandboxes", "bubblewrap") as local:
        local.start(spec(generation=2))
        (local._sandbox("ses_1") / "generation").unlink()
        local.stop("ses_1", 1)
        assert local.list_running() == ["ses_1"]


def test_a_host_takes_the_word_of_workers_that_name_no_generation(tmp_path: Path) -> None:
    with local_sandboxes(tmp_path / "sandboxes", "bubblewrap") as local, host_of(local) as address:
        local.start(spec(generation=2))
        headers = {"authorization": f"Bearer {TOKEN}"}
        assert httpx.post(f"{address}/sandboxes/ses_1/stop", headers=headers, trust_env=False).status_code == 200
        assert local.list_running() == []
        assert httpx.delete(f"{address}/sandboxes/ses_1", headers=headers, trust_env=False).status_code == 200
        assert not local.exists("ses_1")
