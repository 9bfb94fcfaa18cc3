"""What `--repo` takes: addresses, and repositories of this machine with their history."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cli import repository
from cli.errors import CommandFailed


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init")
    (folder / "a.txt").write_text("one\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "one")
    return folder


@pytest.mark.parametrize(
    ("repo", "address"),
    [
        ("https://example.com/a.git", "https://example.com/a.git"),
        ("ssh://git@example.com/a", "ssh://git@example.com/a"),
        ("git@example.com:team/a.git", "ssh://git@example.com/team/a.git"),
        ("./no/such/folder", None),
        ("file:///srv/a", None),
        ("/tmp", None),
    ],
)
def test_addresses_and_paths_are_told_apart(repo: str, address: str | None) -> None:
    assert repository.address_of(repo) == address


def test_a_bundle_holds_head_and_says_what_stays_behind(project: Path, tmp_path: Path) -> None:
    (project / "b.txt").write_text("not committed\n")
    with repository.bundled(str(project), None) as (bundle, has_changes):
        git(tmp_path, "clone", "-q", str(bundle), "clone")
        assert has_changes
    assert (tmp_path / "clone" / "a.txt").read_text() == "one\n"
    assert git(tmp_path / "clone", "rev-parse", "--abbrev-ref", "HEAD") == git(
        project, "rev-parse", "--abbrev-ref", "HEAD"
    )


def test_with_a_ref_any_commit_of_the_repository_can_be_checked_out(project: Path, tmp_path: Path) -> None:
    git(project, "checkout", "-q", "-b", "side")
    (project / "a.txt").write_text("side\n")
    git(project, "commit", "-qam", "side")
    side = git(project, "rev-parse", "HEAD")
    git(project, "checkout", "-q", "-")
    with repository.bundled(str(project), side) as (bundle, has_changes):
        git(tmp_path, "clone", "-q", str(bundle), "clone")
        assert not has_changes
    git(tmp_path / "clone", "checkout", "-q", side)
    assert (tmp_path / "clone" / "a.txt").read_text() == "side\n"


def test_what_cannot_be_sent_is_told_with_what_to_do(project: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CommandFailed, match="not a git repository"), repository.bundled(str(empty), None):
        pass
    git(empty, "init")
    with pytest.raises(CommandFailed, match="no commit yet"), repository.bundled(str(empty), None):
        pass
    with pytest.raises(CommandFailed, match="no commit 'nope'"), repository.bundled(str(project), "nope"):
        pass
    with pytest.raises(CommandFailed, match="no commit '--all'"), repository.bundled(str(project), "--all"):
        pass
