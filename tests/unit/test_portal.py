"""The portal's own checks and tests, and that what it takes from the server's code is of this code."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from app.domain.events import Event, EventType, envelope
from cli import install
from tests.conftest import missing
from tests.support import portal
from web.schemas.events import AnyEvent

FIRST_LOAD = 300 * 1024


@pytest.fixture(autouse=True)
def tools() -> None:
    if not (portal.PORTAL / "node_modules" / ".stamp").is_file():
        missing("needs the portal's tools: make portal")


@pytest.mark.parametrize("script", ["lint", "check", "test"])
def test_the_portal_passes_its_own(script: str) -> None:
    done = portal.npm("run", "--silent", script)

    assert done.returncode == 0, done.stdout


def test_the_types_of_the_api_are_those_of_this_code() -> None:
    assert portal.types() == portal.TYPES.read_text(encoding="utf-8"), "make portal-types"


def test_the_recorded_runs_are_told_by_this_code() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in portal.RECORDED.glob("*.json")}

    assert written == portal.recorded(), "make portal-types"


def test_what_the_portal_is_tried_with_has_events_of_every_type() -> None:
    """So that one which is new is shown, or left out on purpose, live and when it is read."""
    assert {kind for _, kind, _ in portal.EVERY_TYPE} == set(EventType)
    for seq, (attempt, kind, data) in enumerate(portal.EVERY_TYPE, 1):
        TypeAdapter(AnyEvent).validate_python(envelope(Event("r", seq, kind, data, 1.0, f"{attempt}:1"), "s", "t"))


def test_the_first_load_is_small() -> None:
    dist = portal.PORTAL / "dist"
    index = (dist / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|href)="/(assets/[^"]+)"', index)

    assert any(name.endswith(".js") for name in loaded)
    assert sum(len(gzip.compress((dist / name).read_bytes())) for name in loaded) <= FIRST_LOAD


def test_the_page_needs_nothing_inline() -> None:
    index = (portal.PORTAL / "dist" / "index.html").read_text(encoding="utf-8")

    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", index)


def test_the_lock_names_no_registry_and_nothing_is_a_range() -> None:
    described = (portal.PORTAL / "package.json").read_text(encoding="utf-8")
    locked = (portal.PORTAL / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in locked
    assert locked.count('"integrity"') > 100
    assert re.findall(r'"[^"]+": "[\^~<>=*][^"]*"', described) == []


def test_the_lock_names_all_that_packages_may_want_on_other_machines() -> None:
    """`npm ci` refuses a lock in which one is missing, and `npm install` leaves out those that the registry lacks."""
    locked = json.loads((portal.PORTAL / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = [(place, name) for place, about in locked.items() for name in about.get("optionalDependencies", {})]

    assert len(wanted) > 30
    assert [
        each for each in wanted if not any(f"{at}node_modules/{each[1]}" in locked for at in _seen_from(each[0]))
    ] == []


def _seen_from(place: str) -> Iterator[str]:
    """Yield the folders in which Node.js looks for what the package at `place` wants, the nearest first."""
    while place:
        yield f"{place}/"
        place = place.rpartition("/node_modules/")[0]
    yield ""


def test_a_changed_source_is_built_and_an_unchanged_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    for name in install.PORTAL_INPUTS:
        if "." in name:
            (tmp_path / name).write_text(name)
    source = tmp_path / "src" / "main.tsx"
    source.write_text("1")
    monkeypatch.setattr(install, "PORTAL", tmp_path)
    first = install.portal_stamp()

    assert install.portal_stamp() == first
    source.write_text("2")
    changed = install.portal_stamp()
    source.rename(tmp_path / "src" / "other.tsx")
    assert len({first, changed, install.portal_stamp()}) == 3
