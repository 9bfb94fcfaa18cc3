"""Commands about the server: its providers, tokens and login links."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli import screen
from cli.connection import connect
from cli.options import AsJson, Limit
from cli.tables import ago, cell, show_table

app = typer.Typer()
token_app = typer.Typer(help="API tokens: make, list, revoke.", no_args_is_help=True)
app.add_typer(token_app, name="token")


@app.command()
def providers(as_json: AsJson = False) -> None:
    """List the coding agents with what they can do and whether they are ready."""
    answer = connect().get("/api/providers")
    if as_json:
        screen.show_json(answer)
        return
    rows = []
    for item in answer["items"]:
        able = sorted(name for name, yes in (item.get("capabilities") or {}).items() if yes)
        rows.append((item["kind"], _state(item), cell(item.get("version")), ", ".join(able)))
    show_table(("provider", "state", "version", "can"), rows, "no providers", last="fold")
    for item in answer["items"]:
        for remedy in {item.get("remedy"), (item.get("breaker") or {}).get("remedy")} - {None}:
            screen.out.print(f"→ {item['kind']}: {cell(remedy, 300)}")


def _state(item: dict[str, Any]) -> str:
    if not item.get("ready"):
        return "[red]not ready[/]"
    breaker = item.get("breaker") or {}
    return "[red]fails, its runs wait[/]" if breaker.get("state") in ("open", "half_open") else "[green]ready[/]"


@app.command("login-link")
def login_link(as_json: AsJson = False) -> None:
    """Make a link that logs a browser in, once."""
    answer = connect().post("/api/auth/login-links")
    if as_json:
        screen.show_json(answer)
    else:
        screen.out.print(str(answer["url"]), soft_wrap=True)


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="What it is for; shown in the list.")], as_json: AsJson = False
) -> None:
    """Make a token. It is shown this once."""
    answer = connect().post("/api/tokens", {"name": name})
    if as_json:
        screen.show_json(answer)
    else:
        screen.out.print(str(answer["token"]), soft_wrap=True)
        screen.err.print("[dim]it is not shown again; use it as PADDOCK_TOKEN[/]")


@token_app.command("list")
def token_list(limit: Limit = 100, as_json: AsJson = False) -> None:
    """List tokens by their prefixes."""
    items = list(connect().pages("/api/tokens", limit))
    if as_json:
        screen.show_json({"items": items})
        return
    rows = [
        (
            item["tokenId"],
            cell(item.get("name")),
            cell(item.get("prefix")),
            ago(item.get("createdAt")),
            ago(item.get("lastUsedAt")),
            "[yellow]revoked[/]" if item.get("revokedAt") else "",
        )
        for item in items
    ]
    show_table(("token", "name", "begins", "created", "last used", ""), rows, "no tokens")


@token_app.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id (tok_…).")], as_json: AsJson = False
) -> None:
    """Make a token useless at once."""
    connect().delete(f"/api/tokens/{quote(token_id, safe='')}")
    if as_json:
        screen.show_json({"tokenId": token_id, "revoked": True})
        return
    screen.out.print(f"{token_id} revoked")
