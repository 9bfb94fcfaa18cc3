"""The verdict table of the fault tests, without running any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.verdicts import ENGINES, ROWS, table

ROOT = Path(__file__).resolve().parents[2]

SUITE = """
import pytest
from tests.support.verdicts import figures, pytest_addoption, pytest_collection_modifyitems
from tests.support.verdicts import pytest_runtest_logreport, pytest_terminal_summary
"""
TESTS = """
import pytest

@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request):
    return request.param

@pytest.mark.promise("R8")
def test_one(database_url, figures):
    figures.add("lost", 0, bar="0")
    figures.add("start", "40 s", bar="<= 35 s", met=database_url == "sqlite")

@pytest.mark.promise("P3", "R7")
def test_two(database_url):
    assert database_url == "sqlite"

def test_of_no_promise():
    pass
"""

pytest_plugins = ["pytester"]


def result(row: str, engine: str, outcome: str = "passed") -> dict[str, object]:
    return {"rows": [row], "engine": engine, "outcome": outcome, "seconds": 1.0, "figures": []}


def test_a_promise_without_a_result_is_shown_as_not_run() -> None:
    lines = table([result("R8", "sqlite"), result("R8", "sqlite", "failed"), result("P4", "postgres", "skipped")])
    shown = {(line.row, line.engine): line.verdict for line in lines}
    assert shown[("R8", "sqlite")] == "RED"
    assert shown[("P4", "postgres")] == "not run"
    assert set(shown) == {(row, engine) for row in ROWS for engine in ENGINES}


def test_rows_are_chosen_and_results_merge(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SUITE)
    pytester.makepyfile(test_some=TESTS)
    pytester.makeini(f"[pytest]\nmarkers = promise\npythonpath = {ROOT}\n")
    options = ("-p", "no:xdist", "-m", "promise", "--verdicts", "verdicts.json")
    first = pytester.runpytest_subprocess(*options, "--row", "R8")
    first.assert_outcomes(passed=2, deselected=3)
    first.stdout.fnmatch_lines(
        ["R7 *sqlite*not run*", "R8 *sqlite*green*lost 0 (0); start 40 s (<= 35 s)", "R8 *postgres*MISSED*"]
    )
    second = pytester.runpytest_subprocess(*options, "--row", "R7", "--engine", "pg")
    second.assert_outcomes(failed=1, deselected=4)
    second.stdout.fnmatch_lines(["R7 *sqlite*not run*", "R7 *postgres*RED*", "R8 *sqlite*green*", "P3 *postgres*RED*"])
    assert len(json.loads(Path("verdicts.json").read_text(encoding="utf-8"))) == 3
