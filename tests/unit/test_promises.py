"""`docs/promises.md` names a test for each promise that it says is kept, and the test is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/promises.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROW = re.compile(
    r"^\| (?P<name>[PRSX]\d+[a-z]?) \| (?P<promise>[^|]+) \| (?P<figure>[^|]+) \| (?P<proof>[^|]+) \|$", re.MULTILINE
)
NAMES = [f"P{n}" for n in range(1, 8)] + [f"R{n}" for n in range(1, 22)] + [f"S{n}" for n in range(1, 23)]


def promises() -> list[re.Match[str]]:
    return list(ROW.finditer(PAGE.read_text(encoding="utf-8")))


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("name", NAMES)
def test_every_promise_is_on_the_page(name: str) -> None:
    assert any(row["name"] == name or row["name"][:-1] == name for row in promises())


@pytest.mark.parametrize("row", promises(), ids=lambda row: str(row["name"]))
def test_each_promise_has_a_test_that_exists_or_says_not_yet(row: re.Match[str]) -> None:
    linked = TEST.findall(row["proof"])
    assert bool(linked) != row["proof"].startswith("not yet"), row["proof"]
    for path, test in linked:
        assert (ROOT / path).is_file(), path
        assert test in names_in(path), f"{path}::{test}"


def test_tests_named_anywhere_on_the_page_exist() -> None:
    found = TEST.findall(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 20
    for path, test in found:
        assert test in names_in(path), f"{path}::{test}"
