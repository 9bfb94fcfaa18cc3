"""Tables: ids stay whole on any terminal, times are told as people say them."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime

import pytest
from rich.console import Console

from cli import tables
from cli.tables import Last, ago, cell, show_table

RUN = "run_01M7WCJFB4DYJ9W9PXZB2WT1P0"
LONG = "a message that is much longer than what is left of a line of eighty columns"


def shown(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, ...]], width: int, last: Last = "whole", tty: bool = True
) -> list[str]:
    sink = io.StringIO()
    console = Console(file=sink, width=width, force_terminal=tty, color_system=None, highlight=False, soft_wrap=True)
    monkeypatch.setattr(tables, "out", console)
    show_table([f"c{number}" for number in range(len(rows[0]))], rows, "none", last)
    return sink.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_an_id_is_whole_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = shown(monkeypatch, [(RUN, "waiting_human", LONG)], width, "cut")
    assert lines[1].startswith(f"{RUN}  waiting_human  a message")
    assert len(lines) == 2


def test_the_last_column_ends_at_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, [(RUN, LONG), (RUN, "short")], 80, "cut")
    assert len(lines[1]) == 80
    assert lines[1].endswith("…")
    assert lines[2] == f"{RUN}  short"


def test_what_is_folded_goes_on_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, [("kind", "one, two, three, four, five, six")], 24, "fold")
    assert [line.rstrip() for line in lines[1:]] == ["kind  one, two, three,", "      four, five, six"]


def test_nothing_is_cut_where_no_terminal_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, [(RUN, LONG)], 40, "cut", tty=False)[1] == f"{RUN}  {LONG}"


def test_wide_letters_keep_the_columns_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, [("新会话", "x"), ("ab", "y")], 80)
    assert lines[1:] == ["新会话  x", "ab      y"]


def test_an_empty_table_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.StringIO()
    monkeypatch.setattr(tables, "out", Console(file=sink))
    show_table(["run"], [], "no runs")
    assert sink.getvalue() == "no runs\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "now"), (-30, "now"), (5, "5 s ago"), (200, "3 min ago"), (7300, "2 h ago"), (3 * 86400 + 5, "3 d ago")],
)
def test_a_time_is_told_from_now(seconds: float, words: str) -> None:
    moment = datetime.fromtimestamp(time.time() - seconds, UTC).isoformat().replace("+00:00", "Z")
    assert ago(moment) == words


def test_what_is_long_ago_is_a_day_and_what_never_was_a_dash() -> None:
    assert ago("2020-02-03T04:05:06.789Z") == "2020-02-03"
    assert ago(None) == cell("") == "[dim]-[/]"
