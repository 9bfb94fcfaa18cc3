"""Fails when code outgrows the house style (STYLE.md): sizes of modules and functions, parameters, nesting.

Counted as there: a function's length leaves out its docstring; `self` and `cls` are no parameters; the parameters of a
command are its options, which the command line needs one by one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULE_LINES, MODULE_LINES_MOST = 400, 500
FUNCTION_LINES, FUNCTION_LINES_MOST = 35, 70
PARAMETERS_MOST = 5
NESTING, NESTING_MOST = 3, 4
BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Size:
    where: str
    lines: int
    parameters: int
    nesting: int


def measure(path: Path, tree: ast.Module) -> Iterator[Size]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Size(f"{path}:{node.lineno} {node.name}", length(node), parameters(node), nesting(node))


def length(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def parameters(function: Function) -> int:
    if any(
        "command" in ast.unparse(decorator) or "callback" in ast.unparse(decorator)
        for decorator in function.decorator_list
    ):
        return 0
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return len([each for each in named if each.arg not in ("self", "cls")])


def nesting(node: ast.AST) -> int:
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        inner = nesting(child)
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, inner + (1 if isinstance(child, BLOCKS) and not is_elif else 0))
    return deepest


def percentile(values: list[int], share: float = 0.95) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def main(folders: list[str]) -> int:
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    modules = {path: text.count("\n") for path, text in texts.items()}
    sizes = [size for path, text in texts.items() for size in measure(path, ast.parse(text))]
    problems = [
        f"{path}: {lines} lines (at most {MODULE_LINES_MOST})"
        for path, lines in modules.items()
        if lines > MODULE_LINES_MOST
    ]
    for size in sizes:
        for name, value, most in (
            ("lines", size.lines, FUNCTION_LINES_MOST),
            ("parameters", size.parameters, PARAMETERS_MOST),
            ("levels", size.nesting, NESTING_MOST),
        ):
            if value > most:
                problems.append(f"{size.where}: {value} {name} (at most {most})")
    shares = (
        ("module lines", percentile(list(modules.values())), MODULE_LINES),
        ("function lines", percentile([size.lines for size in sizes]), FUNCTION_LINES),
        ("nesting", percentile([size.nesting for size in sizes]), NESTING),
    )
    problems += [f"95th percentile of {name}: {value} (at most {most})" for name, value, most in shares if value > most]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    summary = ", ".join(f"{name} p95 {value}" for name, value, _ in shares)
    sys.stdout.write(f"sizes: {len(modules)} modules, {len(sizes)} functions, {summary}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
