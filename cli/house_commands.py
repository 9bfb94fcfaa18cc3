"""Commands about the installation on this machine: up, down, status, logs, redis-cli, doctor.

What they need of the product is imported when they run: `paddock run` must not wait for it.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Annotated

import typer
from rich.markup import escape

from cli import running, screen
from cli.errors import NOT_DONE, CommandFailed
from cli.house import House, address, enter, tail
from cli.house import settings as load_settings
from cli.options import AsJson
from cli.supervisor import Record
from cli.tables import show_table

app = typer.Typer()


@app.command()
def up(
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay with the logs; Ctrl-C leaves the processes running.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Be the supervisor: for containers and systemd.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start Paddock on this machine and return when it is ready. Safe to call again at any time."""
    from cli import first_start, lifecycle

    house = enter()
    if foreground:
        lifecycle.become_supervisor(house)
    settings = lifecycle.up(house)
    link = first_start.login_link(settings)
    redis_line = lifecycle.redis_cli_line(settings)
    example = f'{lifecycle.command_name()} run --provider scripted "hello"'
    if as_json:
        screen.show_json({"address": address(), "loginLink": link, "example": example, "redisCli": redis_line})
    else:
        print_ready(link, example, redis_line)
    if follow:
        _follow_logs(house)


def print_ready(link: str, example: str, redis_line: str) -> None:
    """Print what a person does next; plain lines, so that they can be copied."""
    rows = (("Paddock is ready", address()), ("log in, once", link), ("try", example), ("look inside", redis_line))
    for title, value in rows:
        sys.stdout.write(f"  {title:<17}{value}\n")
    sys.stdout.flush()


@app.command()
def down(
    agents: Annotated[bool, typer.Option("--agents", help="End the agents and their sandboxes too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop Paddock on this machine. Agents go on in their sandboxes; the next start takes them up again."""
    from cli import lifecycle

    house = running.join_settings()
    stopped = lifecycle.down(house)
    ended = lifecycle.end_sandboxes() if agents else []
    left = [] if agents else lifecycle.list_sandboxes()
    if as_json:
        screen.show_json({"stopped": stopped, "sandboxesEnded": ended, "sandboxesLeft": left})
        return
    lifecycle.say("stopped" if stopped else f"nothing was running. {running.where_else(house)}".rstrip())
    if ended:
        lifecycle.say(f"ended {len(ended)} sandbox(es): {', '.join(ended)}")
    if left:
        seconds = load_settings().orphan_seconds
        lifecycle.say(
            f"{len(left)} sandbox(es) go on for up to {seconds:.0f} s: make up, or make down STOP=1 to end them"
        )


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the processes, the sandboxes and what /ready says. Exit code 2 where it is not ready."""
    from cli import lifecycle

    house = running.join_settings()
    record = Record(house.run)
    code, ready = lifecycle.ask_ready()
    unwell = lifecycle.find_unwell() if code else []
    alive = {name: mark for name, mark in record.children().items() if mark.is_alive}
    entries = record.read().get("processes", {})
    sandboxes = lifecycle.list_sandboxes()
    if as_json:
        processes = {name: {**entry, "running": name in alive} for name, entry in entries.items()}
        screen.show_json(
            {"ready": code == 200, "parts": ready, "unwell": unwell, "processes": processes, "sandboxes": sandboxes}
        )
    else:
        supervisor = record.supervisor()
        screen.out.print(f"supervisor {'runs' if supervisor else '[red]does not run[/]'} · {escape(str(house.var))}")
        if supervisor is None:
            screen.out.print(escape(running.where_else(house)))
        rows = [
            (
                name,
                "[green]runs[/]" if name in alive else "[red]down[/]",
                str(entry.get("pid") or "-"),
                _age(entry.get("startedAt")),
                str(entry.get("restarts", 0)),
            )
            for name, entry in entries.items()
        ]
        show_table(("process", "state", "pid", "up for", "restarts"), rows, "no processes")
        screen.out.print(f"sandboxes: {escape(', '.join(sandboxes)) or 'none'}")
        word = {200: "[green]ready[/]", 0: "[red]does not answer[/]"}.get(code, "[yellow]not ready[/]")
        screen.out.print(f"{address()} {word} {escape(_parts(ready))}")
        for words in unwell:
            screen.out.print(f"[red]unwell[/] {escape(words)}")
    if code != 200:
        raise typer.Exit(NOT_DONE)


@app.command()
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay with them.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of each.")] = 40,
    as_json: AsJson = False,
) -> None:
    """Show the last lines of all processes' logs; with --json the lines alone, most of which are JSON already."""
    house = enter()
    if follow:
        _follow_logs(house, lines, bare=as_json)
    paths = sorted(house.logs.glob("*.log"))
    if not paths:
        raise CommandFailed(f"There are no logs in {house.logs}.", remedy="Start Paddock first: make up")
    for path in paths:
        if not as_json:
            screen.out.print(f"[bold]==> {escape(str(path))} <==[/]")
        text = tail(path, lines)
        sys.stdout.write(f"{text}\n" if text else "")


@app.command("redis-cli", context_settings={"ignore_unknown_options": True, "help_option_names": []})
def redis_cli(words: Annotated[list[str], typer.Argument(metavar="[--json] [-n DB] COMMAND [ARG]…")]) -> None:
    """Send one command to the installation's Redis: paddock redis-cli XRANGE 'paddock:run:…:events' - +"""
    from cli import redis_command

    running.join_settings()
    as_json = words[0] == "--json"
    words = words[1:] if as_json else words
    if not words:
        raise CommandFailed("There is no command for Redis.", remedy="For example: paddock redis-cli PING")
    reply = redis_command.call(load_settings().redis, words)
    if as_json:
        screen.show_json(redis_command.plain(reply))
        return
    if isinstance(reply, bytes) and b"\n" in reply:  # INFO and its like are text
        sys.stdout.write(reply.decode("utf-8", "replace"))
        return
    for line in redis_command.lines(reply):
        sys.stdout.write(line + "\n")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look for what is missing or wrong on this machine, with what to do about it. Exit code 2 where something is."""
    from cli import doctor as examination

    findings = examination.examine(running.join_settings(), load_settings())
    if as_json:
        screen.show_json({"findings": [finding.as_json() for finding in findings]})
    else:
        marks = {"ok": "[green]✔[/]", "warning": "[yellow]![/]", "problem": "[red]✘[/]"}
        for finding in findings:
            screen.out.print(f"{marks[finding.state]} [bold]{escape(finding.subject)}[/] {escape(finding.text)}")
            if finding.remedy:
                screen.out.print(f"  → {escape(finding.remedy)}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(NOT_DONE)


def _follow_logs(house: House, lines: int = 0, *, bare: bool = False) -> None:
    paths = [str(path) for path in sorted(house.logs.glob("*.log"))]
    sys.stdout.flush()
    os.execvp("tail", ["tail", *(["-q"] if bare else []), "-n", str(lines), "-F", *paths])  # noqa: S606 - Ctrl-C then ends tail alone


def _age(started_at: float | None) -> str:
    if not started_at:
        return "-"
    seconds = int(time.time() - started_at)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds % 60:02d} s"


def _parts(ready: dict[str, object]) -> str:
    checks = ready.get("checks") or ready.get("parts") or ready
    if not isinstance(checks, dict):
        return ""
    shown = {name: value.get("status", value) if isinstance(value, dict) else value for name, value in checks.items()}
    return ", ".join(f"{name}: {value}" for name, value in shown.items())
