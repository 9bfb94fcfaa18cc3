"""Commands for operators, through the server: the worker processes and draining them, and how long people have to answer."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli import screen
from cli.connection import connect
from cli.errors import CommandFailed
from cli.options import AsJson
from cli.tables import ago, cell, show_table

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="WORKER", help="A worker's name, or a host's for all of its workers.")]
WAIT_MS = 30_000


@app.command()
def workers(as_json: AsJson = False) -> None:
    """List the living worker processes, and which of them are drained."""
    _show(connect().get("/api/worker-processes"), as_json)


@app.command()
def drain(name: Name, as_json: AsJson = False) -> None:
    """Have a worker hand back its runs to the others and take none, until `paddock undrain` or its end. Exit code 1 while it still
    has some in hand."""
    answer = _turn(name, "drain")
    _show(answer, as_json)
    if any(item["state"] != "drained" for item in answer["items"]):
        raise typer.Exit(1)


@app.command()
def undrain(name: Name, as_json: AsJson = False) -> None:
    """Let a drained worker take runs again."""
    _show(_turn(name, "undrain"), as_json)


@app.command()
def policy(
    session: Annotated[
        str | None, typer.Option("--session", "-s", help="Of this session instead of the tenant.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", help="Seconds that people have to answer; `none`: no deadline here.")
    ] = None,
    on_deadline: Annotated[
        str | None,
        typer.Option("--on-deadline", help="`keep` an overdue request open, `deny` it, or `none`: as the tenant."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how long people have to answer an agent and what becomes of what nobody answered; with options, lay it down."""
    client = connect()
    found = client.get("/api/policy", sessionId=session)
    if deadline is not None or on_deadline is not None:
        own = {name: value for name, value in found["own"].items() if value is not None}
        own |= {"deadlineSeconds": _seconds(deadline)} if deadline is not None else {}
        own |= {"onDeadline": None if on_deadline == "none" else on_deadline} if on_deadline is not None else {}
        found = client.put("/api/policy", {**own, **({"sessionId": session} if session else {})})
    if as_json:
        screen.show_json(found)
        return
    holds = found["effective"]
    seconds = holds.get("deadlineSeconds")
    until = "no deadline" if seconds is None else f"{seconds:g} s to answer"
    late = "is denied" if holds["onDeadline"] == "deny" else "is shown as overdue and stays open"
    screen.out.print(f"{found['scope']}: {until}; what is late {late}")


def _seconds(text: str) -> float | None:
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise CommandFailed(f"{text!r} is no number of seconds.", remedy="Say --deadline 600, or none.") from None


def _turn(name: str, how: str) -> Any:
    return connect().post(f"/api/worker-processes/{quote(name, safe='')}/{how}", {"timeoutMs": WAIT_MS})


def _show(answer: Any, as_json: bool) -> None:
    if as_json:
        screen.show_json(answer)
        return
    rows = [
        (cell(item["name"]), item["kind"], item["state"], str(item["running"]), ago(item["startedAt"]))
        for item in answer["items"]
    ]
    show_table(("worker", "kind", "state", "in hand", "started"), rows, "no worker lives")
