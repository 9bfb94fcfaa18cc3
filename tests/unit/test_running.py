"""What an installation was started with is known to other shells, and to the next start over it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import house, running
from cli.house import House
from cli.processes import mark
from cli.supervisor import Record
from tests.support import processes
from tests.support.waiting import eventually

KEY = "sk-only-in-that-shell"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    for name in [name for name in os.environ if name.startswith(("PADDOCK_", "ANTHROPIC_", "DATABASE_", "REDIS_"))]:
        monkeypatch.delenv(name)
    for name in ("PADDOCK_PORT", "PADDOCK_WEB_PROCESSES", "ANTHROPIC_API_KEY", "PADDOCK_LOG_LEVEL"):
        monkeypatch.setenv(name, "to be undone")  # so that what a test sets in os.environ is gone after it
        monkeypatch.delenv(name)
    monkeypatch.setenv("PADDOCK_VAR", str(tmp_path))
    monkeypatch.setattr(house, "ROOT", tmp_path)
    monkeypatch.setattr(running, "ROOT", tmp_path)
    found = House(tmp_path)
    found.make()
    return found


@contextmanager
def started(installation: House, **given: str) -> Iterator[None]:
    """Note a start from a shell that gave these variables, and let something run that stands for its supervisor."""
    before = dict(os.environ)
    os.environ.update(given)
    house.enter()
    running.note(installation)
    environment = dict(os.environ)
    os.environ.clear()
    os.environ.update(before)
    with processes.running(["sleep", "1000"], env=environment) as supervisor:
        eventually(
            Path("/proc", str(supervisor.pid), "environ").read_bytes, what="its environment, a moment after it begins"
        )
        found = mark(supervisor.pid)
        assert found is not None
        Record(installation.run).write({"pid": found.pid, "started": found.started, "processes": {}})
        yield


def test_another_shell_finds_the_address_that_only_make_up_was_told(installation: House) -> None:
    with started(installation, PADDOCK_PORT="9123", ANTHROPIC_API_KEY=KEY):
        assert running.join_address() == installation
        assert house.address() == "http://127.0.0.1:9123"
        assert "ANTHROPIC_API_KEY" not in os.environ  # what a client does not need it does not get


def test_what_a_shell_says_itself_comes_first(installation: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDOCK_PORT", "9200")
    with started(installation, PADDOCK_PORT="9123"):
        running.join_address()
    assert house.address() == "http://127.0.0.1:9200"


def test_the_command_line_of_make_up_comes_before_the_env_file(installation: House) -> None:
    (house.ROOT / ".env").write_text("PADDOCK_PORT=9001\n")
    with started(installation, PADDOCK_PORT="9123"):
        running.join_address()
    assert house.address() == "http://127.0.0.1:9123"


def test_all_that_is_in_force_is_there_for_commands_about_the_installation(installation: House) -> None:
    with started(installation, ANTHROPIC_API_KEY=KEY, PADDOCK_WEB_PROCESSES="5"):
        running.join_settings()
    assert house.settings().anthropic_api_key == KEY
    assert house.settings().web_processes == 5


def test_nothing_is_taken_over_from_an_installation_that_does_not_run(installation: House) -> None:
    with started(installation, PADDOCK_PORT="9123"):
        pass
    running.join_settings()
    assert house.address() == "http://127.0.0.1:8000"


def test_no_secret_is_written_down(installation: House) -> None:
    with started(installation, ANTHROPIC_API_KEY=KEY):
        assert "ANTHROPIC_API_KEY" in installation.started.read_text()
        assert KEY not in installation.started.read_text()


def test_a_second_make_up_goes_on_with_what_only_the_first_shell_knew(installation: House) -> None:
    with started(installation, ANTHROPIC_API_KEY=KEY, PADDOCK_PORT="9123"):
        assert running.keep(installation) == ["ANTHROPIC_API_KEY", "PADDOCK_PORT"]
        assert os.environ["ANTHROPIC_API_KEY"] == KEY


def test_what_is_set_to_nothing_is_not_put_back(installation: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    with started(installation, ANTHROPIC_API_KEY=KEY):
        assert running.keep(installation) == []


def test_what_was_taken_out_of_the_env_file_is_gone(installation: House) -> None:
    (house.ROOT / ".env").write_text(f"ANTHROPIC_API_KEY={KEY}\n")
    with started(installation, PADDOCK_LOG_LEVEL="DEBUG"):
        (house.ROOT / ".env").write_text("")
        assert running.keep(installation) == ["PADDOCK_LOG_LEVEL"]


def test_a_secret_from_a_file_is_kept_as_that_file(installation: House, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    try:
        with started(installation, ANTHROPIC_API_KEY_FILE=str(tmp_path / "key")):
            assert running.keep(installation) == ["ANTHROPIC_API_KEY_FILE"]
            assert house.settings().anthropic_api_key == KEY
    finally:
        os.environ.pop("ANTHROPIC_API_KEY_FILE", None)


def test_a_start_from_nothing_names_what_the_last_one_had(installation: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(installation, ANTHROPIC_API_KEY=KEY, PADDOCK_PORT="9123"):
        pass
    monkeypatch.setenv("PADDOCK_PORT", "9123")
    assert running.missing(installation) == ["ANTHROPIC_API_KEY"]


def test_an_installation_in_another_folder_is_named(installation: House, tmp_path: Path) -> None:
    argv = ["sh", "-c", "sleep 1000; :", "-m", "cli.supervisor", "--procfile", str(tmp_path / "Procfile")]
    with processes.running([*argv, "--run", "/elsewhere/run"]):
        eventually(lambda: running.others(installation) == [Path("/elsewhere")], what="it is found")
        assert "PADDOCK_VAR=/elsewhere" in running.where_else(installation)
