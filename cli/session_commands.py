"""Commands about sessions: their sandboxes, their files, what changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape

from cli import screen
from cli.connection import connect
from cli.errors import CommandFailed
from cli.options import AsJson, Limit, SessionId
from cli.tables import ago, cell, show_table

if TYPE_CHECKING:
    from cli.client import Client

app = typer.Typer()

PAGE_BYTES = 1024 * 1024


@app.command()
def sessions(limit: Limit = 20, as_json: AsJson = False) -> None:
    """List sessions with the state of their sandboxes and whether their files are saved."""
    items = list(connect().pages("/api/session-workers", limit))
    if as_json:
        screen.show_json({"items": items})
        return
    rows = [
        (
            item["sessionId"],
            screen.styled_status(str(item.get("status", ""))),
            cell(item.get("syncState")),
            ago(item.get("lastSyncAt")),
            cell(item.get("title")),
        )
        for item in items
    ]
    show_table(("session", "sandbox", "files", "saved", "title"), rows, "no sessions", last="cut")


@app.command()
def files(
    session_id: SessionId,
    path: Annotated[str, typer.Argument(help="A folder to list, or a file to print.")] = "",
    as_json: AsJson = False,
) -> None:
    """List a folder of a session's workspace, or print a file. Never starts its sandbox."""
    client = connect()
    base = _workspace(session_id)
    try:
        tree = client.get(f"{base}/tree", path=path or None)
    except CommandFailed as error:
        if not path or error.status not in (400, 404, 409, 422):
            raise
        _print_file(client, base, path)
        return
    if as_json:
        screen.show_json(tree)
        return
    rows = [_file_row(entry) for entry in tree.get("entries") or tree.get("items") or []]
    show_table(("mode", "size", "name"), rows, "empty")


@app.command()
def diff(session_id: SessionId, as_json: AsJson = False) -> None:
    """Show what changed in a session's workspace since it began, as a patch."""
    answer = connect().get(f"{_workspace(session_id)}/diff")
    if as_json:
        screen.show_json(answer)
        return
    patch = str(answer.get("patch") or "")
    if answer.get("truncated"):
        raise CommandFailed("The change is larger than a patch may be here.", remedy="Read the files: `paddock files`.")
    if not patch:
        screen.err.print("[dim]nothing changed[/]")
    if not screen.out.is_terminal:
        sys.stdout.write(patch)  # as it is, for `git apply`
        return
    for line in patch.splitlines():
        screen.out.print(_colored(screen.clean(line)))


def _workspace(session_id: str) -> str:
    return f"/api/session-workers/{quote(session_id, safe='')}/workspace"


def _print_file(client: Client, base: str, path: str) -> None:
    offset = 0
    while True:
        data, headers = client.get_bytes(f"{base}/file", path=path, offset=offset, limit=PAGE_BYTES)
        sys.stdout.buffer.write(data)
        offset += len(data)
        if len(data) < PAGE_BYTES or offset >= int(headers.get("x-size") or sys.maxsize):
            sys.stdout.flush()
            return


def _file_row(entry: dict[str, Any]) -> tuple[str, str, str]:
    kind = entry.get("type")
    name = str(entry.get("name") or str(entry.get("path", "")).rpartition("/")[2])
    mark = {"dir": "d", "symlink": "l"}.get(str(kind), "-")
    suffix = {"dir": "/", "symlink": f" -> {entry.get('target', '')}"}.get(str(kind), "")
    return (
        f"{mark}{int(entry.get('mode') or 0) & 0o7777:04o}",
        str(entry.get("size") or ""),
        escape(screen.clean(name + suffix).replace("\n", "␤")),
    )


def _colored(line: str) -> str:
    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    if line.startswith(("+++", "---", "diff ")):
        style = "bold"
    return f"[{style}]{escape(line)}[/]" if style else escape(line)
