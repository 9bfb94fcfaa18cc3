"""Tables as benchmarks print and keep them: rows side by side, a ratio to one of them, bars with OK or MISSED."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Figure = float | int | str | None


@dataclass(frozen=True, slots=True)
class Bar:
    """What a row must reach. `value` and `most` are in the unit of `text`."""

    text: str
    value: float
    most: float

    @property
    def verdict(self) -> str:
        return "OK" if self.value <= self.most else "MISSED"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured. `ratio` is to the peer that the table's notes name."""

    name: str
    figures: Mapping[str, Figure]
    ratio: float | None = None
    bar: Bar | None = None


@dataclass(slots=True)
class Table:
    """One subject. `notes` say how to read it."""

    title: str
    rows: list[Row] = field(default_factory=list)
    notes: Sequence[str] = ()

    def add(self, name: str, figures: Mapping[str, Figure], ratio: float | None = None, bar: Bar | None = None) -> None:
        self.rows.append(Row(name, figures, ratio, bar))

    @property
    def missed(self) -> list[Row]:
        return [row for row in self.rows if row.bar is not None and row.bar.verdict != "OK"]

    def text(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        with_ratio = any(row.ratio is not None for row in self.rows)
        with_bar = any(row.bar is not None for row in self.rows)
        head = ["", *columns, *(["ratio"] if with_ratio else []), *(["bar", ""] if with_bar else [])]
        lines = [head]
        for row in self.rows:
            cells = [row.name, *(_shown(row.figures.get(name)) for name in columns)]
            cells += [f"{row.ratio:.2f}x" if row.ratio is not None else ""] if with_ratio else []
            cells += ([row.bar.text, row.bar.verdict] if row.bar else ["", ""]) if with_bar else []
            lines.append(cells)
        widths = [max(len(line[index]) for line in lines) for index in range(len(head))]
        numeric = 1 + len(columns) + (1 if with_ratio else 0)
        body = ["  ".join(_padded(line, widths, numeric)).rstrip() for line in lines]
        rule = "-" * max(len(line) for line in body)
        return "\n".join([self.title, rule, *body, *(f"  {note}" for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        rows = [{**asdict(row), "verdict": row.bar.verdict if row.bar else None} for row in self.rows]
        plain: dict[str, Any] = json.loads(
            json.dumps({"title": self.title, "rows": rows, "notes": list(self.notes)}, default=str)
        )
        return plain


def _padded(line: Sequence[str], widths: Sequence[int], numeric: int) -> list[str]:
    first, *rest = (
        cell.rjust(width) if 0 < index < numeric else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return [first, *rest]


def _shown(value: Figure) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or math.isnan(value):
        return f"{value:,}" if isinstance(value, int) else "-"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"
