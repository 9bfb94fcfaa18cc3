"""Tables on the terminal: ids and times are never wrapped or cut, only the last column gives way to the terminal's edge."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from rich.markup import escape
from rich.text import Text

from cli.screen import one_line, out

GAP = 2
NARROWEST = 12  # what is left of a last column on a terminal that is too narrow for the others
WIDE = 110  # columns of a terminal from which on there is room for what is nice to know
NOTHING = "[dim]-[/]"
Last = Literal["whole", "cut", "fold"]


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str, last: Last = "whole") -> None:
    """Print a table; cells hold markup of ours, so callers escape what users or agents wrote. `last`: what becomes of the last
    column at the terminal's edge. Elsewhere than at a terminal nothing is cut."""
    body = [[Text.from_markup(str(cell)) for cell in row] for row in rows]
    if not body:
        out.print(f"[dim]{escape(empty)}[/]")
        return
    lines = [[Text(column, style="dim") for column in columns], *body]
    widths = [max(line[number].cell_len for line in lines) for number in range(len(columns))]
    room = max(NARROWEST, out.width - sum(widths[:-1]) - GAP * (len(widths) - 1))
    for line in lines:
        for shown in _lines(line, widths, room, last if out.is_terminal else "whole"):
            shown.rstrip()
            out.print(shown)


def is_wide() -> bool:
    """True where columns that are nice to know have room."""
    return not out.is_terminal or out.width >= WIDE


def cell(value: object, length: int = 200) -> str:
    """Return a value as a cell: one line, no markup, a dash for nothing."""
    return escape(one_line(value, length)) if value not in (None, "") else NOTHING


def ago(moment: object) -> str:
    """Return how long ago a time of the wire (RFC 3339) was, as a cell: `3 min ago`; the day where it was long ago."""
    if not moment:
        return NOTHING
    then = datetime.fromisoformat(str(moment)).timestamp()
    seconds = max(0, int(time.time() - then))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 60 * 86400:
            return str(moment)[:10]
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return "now"


def _lines(cells: Sequence[Text], widths: Sequence[int], room: int, last: Last) -> Iterator[Text]:
    line = Text()
    for text, width in zip(cells[:-1], widths[:-1], strict=True):
        line.append_text(text).append(" " * (width - text.cell_len + GAP))
    end = cells[-1]
    if last == "cut":
        end.truncate(room, overflow="ellipsis")
    parts = list(end.wrap(out, room)) if last == "fold" and end.cell_len > room else [end]
    yield line.append_text(parts[0])
    for part in parts[1:]:
        yield Text(" " * (sum(widths[:-1]) + GAP * (len(widths) - 1))).append_text(part)
