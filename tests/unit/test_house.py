"""The house: Redis's settings and socket, the installer's stamps, wrong settings, the Procfile, pinned requirements."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tomllib
from pathlib import Path

import pytest
from honcho.environ import parse_procfile

from app import config, places
from cli import embedded_redis, first_start, house, install, lifecycle
from cli.errors import CommandFailed

ROOT = Path(__file__).resolve().parents[2]


def test_the_embedded_redis_opens_no_port_and_keeps_what_it_is_told() -> None:
    argv = embedded_redis.arguments("/bin/redis", Path("/v/redis"), Path("/v/redis/redis.sock"))
    settings = dict(zip(argv[1::2], argv[2::2], strict=True))
    assert settings["--port"] == "0"
    assert settings["--unixsocketperm"] == "700"
    assert (settings["--appendonly"], settings["--appendfsync"]) == ("yes", "everysec")
    assert settings["--maxmemory-policy"] == "noeviction"


def test_a_socket_path_that_is_too_long_is_replaced_by_a_short_one_of_the_same_installation(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    short = config.Settings(var=tmp_path / "v")
    assert short.redis_socket == tmp_path / "v" / "redis" / "redis.sock"
    first, again, other = (config.Settings(var=path).redis_socket for path in (long, long, long / "b"))
    assert first == again != other
    assert len(os.fsencode(first)) <= places.LONGEST_SOCKET_PATH


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(PermissionError, match="belongs to another user"):
        embedded_redis.prepare(tmp_path / "redis", tmp_path / "redis" / "redis.sock")


def test_two_servers_never_hold_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_redis, "LOCK_WAIT_SECONDS", 0.0)
    held = embedded_redis.lock(tmp_path)
    with pytest.raises(TimeoutError, match="another Redis"):
        embedded_redis.lock(tmp_path)
    os.close(held)
    os.close(embedded_redis.lock(tmp_path))


@pytest.mark.parametrize("name", sorted(install.SETS))
def test_a_stamp_is_what_sha256sum_checks(name: str, tmp_path: Path) -> None:
    (tmp_path / "stamp").write_text(install.stamp(install.SETS[name][0]))
    done = subprocess.run(["sha256sum", "--check", "--status", str(tmp_path / "stamp")], cwd=ROOT, check=False)
    assert done.returncode == 0


PIP = sorted(name for name, (locked, _) in install.SETS.items() if locked.endswith(".txt"))
NPM = sorted(set(install.SETS) - set(PIP))


@pytest.mark.parametrize("name", PIP)
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / install.SETS[name][0]).read_text()
    blocks = re.findall(r"^(\S+)==\S+(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert blocks
    assert [package for package, rest in blocks if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("name", NPM)
def test_every_package_is_pinned_with_its_hash_and_names_no_registry(name: str) -> None:
    packages = json.loads((ROOT / install.SETS[name][0]).read_text())["packages"]
    packages.pop("")
    assert packages
    assert [path for path, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [path for path, package in packages.items() if "resolved" in package] == []


def test_the_agents_are_locked_in_the_versions_that_the_one_file_names() -> None:
    versions = tomllib.loads((ROOT / "cli/agents/versions.toml").read_text())
    for name, requirement in versions["pip"].items():
        assert (ROOT / install.SETS[name][0]).read_text().startswith(f"{requirement} ")
    for name, package in versions["npm"].items():
        locked = json.loads((ROOT / install.SETS[name][0]).read_text())["packages"]
        for wanted, version in package["dependencies"].items():
            assert locked[f"node_modules/{wanted}"]["version"] == version


def test_runtime_and_test_requirements_never_disagree() -> None:
    def pins(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    runtime, dev = pins("requirements.txt"), pins("requirements-dev.txt")
    assert {name: dev[name] for name in runtime.keys() & dev.keys()} == {
        name: runtime[name] for name in runtime.keys() & dev.keys()
    }


def test_the_procfile_names_the_processes_and_redis_comes_first() -> None:
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    assert list(processes) == ["redis", "web", "worker", "maintenance", "scheduler", "proxy"]


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDOCK_PORT", "eighty")
    with pytest.raises(CommandFailed) as caught:
        house.settings()
    assert "PADDOCK_PORT" in caught.value.detail


def test_a_taken_port_is_told_with_another_to_choose() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandFailed, match="taken by another program") as caught:
            lifecycle.require_free_port("127.0.0.1", port)
    assert f"PADDOCK_PORT={port + 1}" in caught.value.remedy


def test_the_owners_token_is_for_this_user_alone_and_made_anew_when_it_was_lost(tmp_path: Path) -> None:
    found = house.House(tmp_path)
    settings = config.Settings(var=tmp_path)
    first_start.prepare(found, settings)
    first = found.owner_token.read_text()
    assert found.owner_token.stat().st_mode & 0o777 == 0o600
    first_start.prepare(found, settings)
    assert found.owner_token.read_text() == first
    found.owner_token.unlink()
    first_start.prepare(found, settings)
    assert found.owner_token.read_text() not in ("", first)


def test_a_token_that_is_given_becomes_the_owners(tmp_path: Path) -> None:
    found = house.House(tmp_path)
    first_start.prepare(found, config.Settings(var=tmp_path, bootstrap_token="pdk_given_by_the_operator"))
    assert found.owner_token.read_text().strip() == "pdk_given_by_the_operator"


def test_a_database_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    settings = config.Settings(var=tmp_path, database_url="mysql://nowhere/x")
    with pytest.raises(CommandFailed) as caught:
        first_start.prepare(house.House(tmp_path), settings)
    assert "DATABASE_URL" in caught.value.remedy
