"""The verdict table of the fault tests: which promise each test proves, with what figures, on which database.

A test says `@pytest.mark.promise("R8")` and, where it measures, `figures.add("start after a lost bell", "12 s", bar="<= 35 s",
met=True)`. `make faults` runs all of them at full length, or one row (`ROW=P4 DB=pg`); results merge into `--verdicts FILE`, and the
table of all rows is printed at the end. Figures that are times are shown beside their bar and never asserted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

LONG = bool(os.environ.get("PADDOCK_FAULTS_LONG"))
"""`make faults` sets it; `make test` runs a slice."""
ROWS = (
    *("R1", "R2", "R3", "R4", "R5", "R7", "R8", "R9", "R10", "R11"),
    *("R13", "R14", "R15", "R16", "R17", "R18", "R19", "R21"),
    *("P1", "P2", "P3", "P4", "P6"),
)
ENGINES = ("sqlite", "postgres")
NO_ENGINE = "-"  # the test has no database
_FIGURE, _PROMISE = "paddock_figure", "paddock_promise"


class Figures:
    """What one test measured."""

    def __init__(self, properties: list[tuple[str, Any]]) -> None:
        self._properties = properties

    def add(self, name: str, value: object, bar: str = "", met: bool = True) -> None:
        """Keep a figure with its unit (`"31 s"`), the bar it is held to, and whether it met that."""
        self._properties.append((_FIGURE, {"name": name, "value": str(value), "bar": bar, "met": met}))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    return Figures(request.node.user_properties)


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: a promise on a database."""

    row: str
    engine: str
    verdict: str
    tests: int
    seconds: float
    figures: tuple[str, ...]

    def __str__(self) -> str:
        shown = "; ".join(self.figures)
        return (
            f"{self.row:<4} {self.engine:<9} {self.verdict:<8} {self.tests:>3} {self.seconds:>7.0f} s  {shown}".rstrip()
        )


def table(results: Iterable[dict[str, Any]]) -> list[Line]:
    """Return a line for each promise and database; `not run` where no test of it has a result."""
    kept = list(results)
    lines = []
    for row in ROWS:
        mine = [result for result in kept if row in result["rows"]]
        engines = [*ENGINES, *([NO_ENGINE] if any(result["engine"] == NO_ENGINE for result in mine) else [])]
        lines += [_line(row, engine, [result for result in mine if result["engine"] == engine]) for engine in engines]
    return lines


def _line(row: str, engine: str, results: list[dict[str, Any]]) -> Line:
    outcomes = {result["outcome"] for result in results}
    shown = [figure for result in results for figure in result["figures"]]
    if "failed" in outcomes:
        verdict = "RED"
    elif "passed" not in outcomes:
        verdict = "not run"
    else:
        verdict = "green" if all(figure["met"] for figure in shown) else "MISSED"
    words = tuple(
        f"{figure['name']} {figure['value']}" + (f" ({figure['bar']})" if figure["bar"] else "") for figure in shown
    )
    return Line(row, engine, verdict, len(results), sum(result["seconds"] for result in results), words)


# --- pytest's side; tests/conftest.py takes these up


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("paddock")
    group.addoption("--row", default="", help="run only the tests of these promises: R8 or R8,P4")
    group.addoption("--engine", default="", help="run only the tests on this database: sqlite, postgres (pg)")
    group.addoption("--verdicts", default="", help="merge the results of tests of promises into this file")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rows = {row.strip().upper() for row in config.getoption("--row").split(",") if row.strip()}
    engine = {"pg": "postgres", "postgresql": "postgres"}.get(
        config.getoption("--engine"), config.getoption("--engine")
    )
    if unknown := rows - set(ROWS):
        raise pytest.UsageError(f"no such promise: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if engine and engine not in ENGINES:
        raise pytest.UsageError(f"no such database: {engine}; there are {', '.join(ENGINES)}")
    wanted: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        mine, on = _rows_of(item), _engine_of(item)
        item.user_properties.append((_PROMISE, {"rows": mine, "engine": on}))
        fits = (not rows or rows & set(mine)) and (not engine or not mine or on in (engine, NO_ENGINE))
        (wanted if fits else left).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = wanted


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    properties = dict(report.user_properties)
    if _PROMISE not in properties or not properties[_PROMISE]["rows"]:
        return
    result = _SEEN.setdefault(report.nodeid, {**properties[_PROMISE], "outcome": "skipped", "seconds": 0.0})
    result["seconds"] += report.duration
    result["figures"] = [value for name, value in report.user_properties if name == _FIGURE]
    if report.failed:
        result["outcome"] = "failed"
    elif report.when == "call" and report.passed and result["outcome"] != "failed":
        result["outcome"] = "passed"


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not config.getoption("--verdicts"):
        return
    path = Path(config.getoption("--verdicts"))
    merged: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    merged |= _SEEN
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    terminalreporter.section("promises under faults")
    terminalreporter.write_line("row  database  verdict  tests    time  figures (bar)")
    for line in table(merged.values()):
        terminalreporter.write_line(str(line))


_SEEN: dict[str, dict[str, Any]] = {}


def _rows_of(item: pytest.Item) -> list[str]:
    rows = [str(row) for mark in item.iter_markers("promise") for row in mark.args]
    if unknown := set(rows) - set(ROWS):
        raise pytest.UsageError(f"{item.nodeid} names a promise that is not in the table: {', '.join(unknown)}")
    return sorted(set(rows))


def _engine_of(item: pytest.Item) -> str:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    return next((value for value in parameters.values() if value in ENGINES), NO_ENGINE)
