"""A stress report on disk: `NAME.json`, `NAME.md` for people, and the logs of the runs that did not succeed in `NAME/`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cli.errors import CommandFailed
from cli.screen import clean, one_line
from cli.stress.findings import OUTCOMES, Json, Report, Watched

if TYPE_CHECKING:
    from cli.client import Client


@dataclass(frozen=True, slots=True)
class Written:
    json: Path
    markdown: Path


def write(report: Report, folder: Path, client: Client) -> Written:
    """Archive the logs, then write both forms; a name that is taken is not written over."""
    moment = report.started_at.translate(str.maketrans("", "", "-:"))
    name = f"stress-{report.plan.provider}-{moment}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    number = 1
    while (folder / f"{name}.json").exists():
        number += 1
        name = f"stress-{report.plan.provider}-{moment}-{number}"
    for run in [report.trial, report.probe, *report.runs]:
        if run is not None and run.outcome != "succeeded" and run.run_id:
            _archive(run, folder / name, client)
    written = Written(folder / f"{name}.json", folder / f"{name}.md")
    _keep(written.json, json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n")
    _keep(written.markdown, "\n".join(_lines(report)) + "\n")
    return written


def _archive(run: Watched, folder: Path, client: Client) -> None:
    """Keep the run's log, one event a line: as the server has it by now, or as far as the stream showed it."""
    events = run.events
    with suppress(CommandFailed):
        events = list(client.pages(f"/api/runs/{quote(run.run_id, safe='')}/events", sys.maxsize))
    folder.mkdir(mode=0o700, exist_ok=True)
    _keep(folder / f"{run.run_id}.ndjson", "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events))
    run.log = f"{folder.name}/{run.run_id}.ndjson"


def _keep(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


# --- for people --------------------------------------------------------------------------------------------------------------


def _lines(report: Report) -> Iterator[str]:
    plan, told = report.plan, report.as_json()
    summary: Json = told["summary"]
    yield f"# Stress test of {plan.provider}"
    yield ""
    model = f", model {_cell(plan.model)}" if plan.model else ""
    how = f"{plan.concurrency} at once, {plan.timeout_seconds:g} s each at most"
    yield f"{report.started_at} to {report.finished_at}, {report.server}{model}: {len(report.runs)} of {plan.iterations} runs, {how}."
    yield ""
    yield f"**{verdict(report)}**"
    yield ""
    yield from _table(["outcome", "runs"], [[name, str(report.outcomes[name])] for name in OUTCOMES])
    for name, title in (
        ("seconds", "seconds of a run that succeeded"),
        ("firstDeltaSeconds", "seconds to the first word"),
    ):
        if figures := summary[name]:
            yield f"{title[0].upper()}{title[1:]}: p50 {figures['p50']}, p90 {figures['p90']}, at most {figures['max']}."
            yield ""
    if report.failure_classes:
        yield "## Why runs did not succeed"
        yield ""
        rows = [
            [each["failureClass"], str(each["count"]), _cell(each["message"]), _cell(each["suggestion"])]
            for each in report.failure_classes
        ]
        yield from _table(["class", "runs", "as it was told first", "what to do"], rows)
    yield "## Before"
    yield ""
    checks = [
        [
            _cell(check["name"]),
            "ok" if check["ok"] else "missing",
            _cell(check["message"]),
            _cell(check["remedy"] or ""),
        ]
        for check in report.precheck.get("checks", [])
    ]
    yield from _table(["check", "", "", "what to do"], checks)
    before = [run for run in (report.trial, report.probe) if run is not None]
    yield from _table(_RUN_COLUMNS, [_run_row(run) for run in before])
    if report.probe is not None:
        yield _where_it_lies(report.probe)
        yield ""
    yield "## Runs"
    yield ""
    yield from _table(_RUN_COLUMNS, [_run_row(run) for run in report.runs])


def verdict(report: Report) -> str:
    """Return the result in a sentence."""
    succeeded, total = report.outcomes["succeeded"], len(report.runs)
    rate = f"{succeeded} of {total} runs succeeded ({report.success_rate:.0%})"
    if report.interrupted:
        return f"Broken off: {rate}."
    if not report.plan.strict:
        return f"{rate}."
    wanted = f"{report.plan.threshold:.0%} must"
    return f"{'Passed' if report.passed else 'Not passed'}: {rate}, {wanted}."


def _where_it_lies(probe: Watched) -> str:
    if probe.outcome == "succeeded":
        return f"`{probe.name}` works here: what fails is the provider's, not Paddock's."
    return f"`{probe.name}` fails here too: look at Paddock itself first (`paddock doctor`, `make logs`)."


_RUN_COLUMNS = ["", "outcome", "seconds", "class", "run", "log"]


def _run_row(run: Watched) -> list[str]:
    failure = run.failure.failure_class if run.failure else ""
    log = f"[log]({run.log})" if run.log else ""
    return [run.name, run.outcome, f"{run.seconds:.1f}", _cell(failure), run.run_id, log]


def _table(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    if not rows:
        return
    for line in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(line)} |"
    yield ""


def _cell(text: object) -> str:
    """Return what others wrote as one cell."""
    return one_line(clean(text or ""), 300).replace("|", "\\|").replace("<", "&lt;")
