"""The command `paddock stress`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from cli import running, screen
from cli.connection import connect
from cli.errors import FAILED
from cli.options import AsJson
from cli.stress import pages
from cli.stress.course import Course
from cli.stress.findings import Json, Plan, Report, Watched

app = typer.Typer()

PROMPT = "Answer with the single word: ready"
INTERRUPTED = 130


@app.command()
def stress(
    provider: Annotated[str, typer.Option("--provider", "-p", help="claude-code, codex-cli, scripted, …")],
    iterations: Annotated[int, typer.Option("--iterations", "-n", min=1, max=10_000, help="How many runs.")] = 5,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds that one run may take.")] = 120.0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where too few runs succeeded.")] = False,
    threshold: Annotated[
        float,
        typer.Option("--success-rate-threshold", min=0, max=1, help="The part of the runs that must succeed (0 to 1)."),
    ] = 1.0,
    fallback: Annotated[
        str | None,
        typer.Option("--fallback", help="Where the provider is not ready or its trial fails, one run of this one."),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m")] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="What each run is told.")] = PROMPT,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, max=64, help="Runs at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Send the same message many times to one provider, each in a session of its own, and report how the runs ended.

    Observes: exit code 0 whatever came of the runs. With --strict 1 where too few succeeded. 2 not done, 130 broken off with Ctrl-C.
    """
    client = connect()
    plan = Plan(
        provider, iterations, timeout, prompt, model, concurrency, strict=strict, threshold=threshold, fallback=fallback
    )
    course = Course(client, plan, (lambda _: None) if as_json else _show_run)
    precheck = course.look()
    if not as_json:
        _show_precheck(provider, precheck)
    course.run()
    written = pages.write(course.report, running.join_address().reports, client)
    if as_json:
        screen.show_json(
            {**course.report.as_json(), "report": {"json": str(written.json), "markdown": str(written.markdown)}}
        )
    else:
        _show_end(course.report, written)
    raise typer.Exit(_exit_code(course.report))


def _exit_code(report: Report) -> int:
    if report.interrupted:
        return INTERRUPTED
    return FAILED if report.plan.strict and not report.passed else 0


def _show_precheck(provider: str, precheck: Json) -> None:
    screen.out.print(f"{escape(provider)}: {'ready' if precheck['ok'] else '[yellow]not ready[/]'}")
    for check in precheck["checks"]:
        mark = "[green]✔[/]" if check["ok"] else "[red]✘[/]"
        remedy = f" → {escape(screen.clean(check['remedy']))}" if check["remedy"] and not check["ok"] else ""
        screen.out.print(
            f"  {mark} {escape(screen.one_line(check['name']))}: {escape(screen.one_line(check['message']))}{remedy}"
        )


def _show_run(run: Watched) -> None:
    shown = screen.styled_status(run.outcome) if run.outcome != "incomplete" else "[yellow]incomplete[/]"
    why = f" {escape(run.failure.failure_class)}: {escape(screen.one_line(run.failure.message))}" if run.failure else ""
    screen.out.print(f"[dim]{run.name:>8}[/]  {shown} {run.seconds:.1f} s{why} [dim]{escape(run.run_id)}[/]")


def _show_end(report: Report, written: pages.Written) -> None:
    screen.out.print(f"\n{escape(pages.verdict(report))}")
    for each in report.failure_classes:
        suggestion = f" → {escape(screen.one_line(each['suggestion'], 300))}" if each["suggestion"] else ""
        screen.out.print(f"  {each['count']} × [red]{escape(screen.one_line(each['failureClass']))}[/]{suggestion}")
    screen.out.print(f"[dim]report: {written.markdown}[/]\n[dim]        {written.json}[/]")
