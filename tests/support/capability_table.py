"""Which agent does what: the table that the contract suite proves and prints, and `docs/providers.md` shows.

A scenario of the suite says `@pytest.mark.capability("questions")`; it is skipped for an agent that does not declare it, and only
then. So what an agent declares and no scenario shows, or one refutes, fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from tests.support import network_namespace

_NAME = "paddock_capability"
_SEEN: dict[str, dict[str, Any]] = {}


def note(items: Iterable[pytest.Item]) -> None:
    """Remember of each scenario what it proves of whom; called once the tests are collected."""
    for item in items:
        mark = item.get_closest_marker("capability")
        subject = getattr(getattr(item, "callspec", None), "params", {}).get("subject")
        if mark is not None and subject is not None:
            item.user_properties.append((_NAME, {"capability": mark.args[0], "agent": subject}))


def take(report: pytest.TestReport) -> None:
    """Take a result, wherever the test ran."""
    found = dict(report.user_properties).get(_NAME)
    if found is None:
        return
    result = _SEEN.setdefault(report.nodeid, {**found, "outcome": "passed"})
    if report.failed:
        result["outcome"] = "failed"
    elif report.skipped and result["outcome"] != "failed":
        result["outcome"] = "skipped"


def show(terminalreporter: Any) -> None:
    """Print what was seen in this run."""
    if not _SEEN:
        return
    agents = sorted({result["agent"] for result in _SEEN.values()})
    terminalreporter.section("what each agent does")
    terminalreporter.write_line(f"{'':<12}" + "".join(f"{agent:>14}" for agent in agents))
    for capability in sorted({result["capability"] for result in _SEEN.values()}):
        cells = (_cell(capability, agent) for agent in agents)
        terminalreporter.write_line(f"{capability:<12}" + "".join(f"{cell:>14}" for cell in cells))
    fenced = "each agent reached its model and nothing else of the network"
    open_ = "NOT FENCED: this user may make no namespaces, so each agent reached whatever this machine does"
    terminalreporter.write_line(fenced if network_namespace.usable() else open_)


def _cell(capability: str, agent: str) -> str:
    mine = [each for each in _SEEN.values() if (each["capability"], each["agent"]) == (capability, agent)]
    outcomes = [each["outcome"] for each in mine]
    if "failed" in outcomes:
        return "FAILED"
    passed = outcomes.count("passed")
    return f"{passed} passed" if passed else "-"


def markdown(declared: Mapping[str, Mapping[str, bool]], scenarios: Mapping[str, list[str]]) -> str:
    """Return the table of `docs/providers.md`: `declared` by agent, `scenarios` by capability."""
    agents = list(declared)
    lines = [f"| | {' | '.join(f'`{agent}`' for agent in agents)} | shown by |", f"|---|{'---|' * (len(agents) + 1)}"]
    for capability, names in scenarios.items():
        cells = ("✓" if declared[agent][capability] else "–" for agent in agents)
        told = "<br>".join(name.removeprefix("test_").replace("_", " ") for name in names)
        lines.append(f"| `{capability}` | {' | '.join(cells)} | {told} |")
    return "\n".join(lines) + "\n"
