"""What agents declare is what the contract suite shows, and what `docs/providers.md` says. To write its table anew:
`python -m tests.contract.providers.test_capabilities`."""

from __future__ import annotations

from pathlib import Path

from tests.contract.providers import test_contract
from tests.contract.providers.subjects import SUBJECTS
from tests.support.capability_table import markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "providers.md"
BEGIN, END = "<!-- table: made by tests/contract/providers/test_capabilities.py -->\n", "<!-- end of the table -->"


def scenarios() -> dict[str, list[str]]:
    """Return the names of the scenarios by the capability that they prove."""
    found: dict[str, list[str]] = {}
    for name, function in vars(test_contract).items():
        for mark in getattr(function, "pytestmark", []) if name.startswith("test_") else []:
            if mark.name == "capability":
                found.setdefault(mark.args[0], []).append(name)
    return found


def declared() -> dict[str, dict[str, bool]]:
    return {kind: subject.make().capabilities.as_wire() for kind, subject in SUBJECTS.items()}


def table() -> str:
    return markdown(declared(), scenarios())


def test_every_capability_that_an_agent_declares_has_a_scenario() -> None:
    proven = set(scenarios())
    unproven = {kind: {name for name, has in flags.items() if has} - proven for kind, flags in declared().items()}
    assert not any(unproven.values()), unproven


def test_the_page_shows_what_is_declared() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0] == table()


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
