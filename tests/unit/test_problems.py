"""The published list of error codes against the code that raises them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.problems import PROBLEMS

ROOT = Path(__file__).parents[2]
STATUS = {
    "Invalid": 422,
    "Unauthenticated": 401,
    "Forbidden": 403,
    "Conflict": 409,
    "Gone": 410,
    "InFlight": 409,
    "LimitExceeded": 429,
    "Unavailable": 503,
    "BadRequest": 400,
    "TooLarge": 413,
    "BundleTooLarge": 413,
    "UnsupportedMediaType": 415,
    "WrongHost": 421,
}


def raised() -> Iterator[tuple[str, str, str]]:
    """Yield `(where, class, code)` of each error that is made with a literal code."""
    for folder in ("app", "web", "workers", "scheduler"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                    continue
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                code = node.args[0].value
                if name in STATUS and isinstance(code, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", name, code


def test_every_code_that_is_raised_is_on_the_list_with_its_status() -> None:
    found = list(raised())
    wrong = [(where, name, code) for where, name, code in found if code not in PROBLEMS]
    other = [(where, code) for where, name, code in found if code in PROBLEMS and PROBLEMS[code].status != STATUS[name]]

    assert len(found) > 30
    assert wrong == []
    assert other == []


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_each_problem_says_what_it_means_and_what_to_do(code: str) -> None:
    problem = PROBLEMS[code]

    assert problem.meaning.endswith(".")
    assert problem.remedy.endswith(".")
    assert 400 <= problem.status < 600
