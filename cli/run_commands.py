"""Commands about runs: start one, follow it, stop it, see why it is where it is, answer what it asks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer
from rich.markup import escape

from cli import asking, explanation, repository, screen
from cli.connection import connect
from cli.errors import CommandFailed
from cli.live import Following
from cli.options import AsJson, Limit, RunId
from cli.tables import ago, cell, is_wide, show_table

if TYPE_CHECKING:
    from cli.client import Client

app = typer.Typer()

BLOB_LENGTH = 64  # a blob's id is a SHA-256 in hex

Provider = Annotated[str | None, typer.Option("--provider", "-p", help="claude-code, scripted, …")]
Session = Annotated[str | None, typer.Option("--session", "-s", help="Go on in this session.")]
Repo = Annotated[
    str | None, typer.Option("--repo", help="Start from this repository: a path, or an https/ssh address.")
]
Ref = Annotated[str | None, typer.Option("--ref", help="Branch, tag or commit of the repository.")]
Model = Annotated[str | None, typer.Option("--model", "-m")]
AllowEdits = Annotated[bool, typer.Option("--allow-edits", help="Let it edit files of the workspace unasked.")]
AllowAll = Annotated[bool, typer.Option("--allow-all", help="Let it do everything unasked, inside its sandbox.")]
Require = Annotated[
    list[str] | None, typer.Option("--require", help="Block unless the provider can do this (humanLoop, resume, …).")
]
OnBusy = Annotated[
    Literal["enqueue", "reject", "interrupt"], typer.Option("--on-busy", help="When the session is at work already.")
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="Start it and return at once.")]


@app.command()
def run(
    message: Annotated[str, typer.Argument(help="What to do; `-` reads it from stdin.")],
    provider: Provider = None,
    session: Session = None,
    repo: Repo = None,
    ref: Ref = None,
    model: Model = None,
    allow_edits: AllowEdits = False,
    allow_all: AllowAll = False,
    require: Require = None,
    on_busy: OnBusy = "enqueue",
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Send a message to an agent and follow what it does.

    Exit code: 0 succeeded, 1 failed, 2 not done (usage, connection, refused), 3 canceled, 4 blocked, 130 let go with Ctrl-C.
    """
    client = connect()
    body: dict[str, Any] = {"prompt": sys.stdin.read() if message == "-" else message, "onBusy": on_busy}
    given = {"provider": provider, "sessionId": session, "model": model, "require": require}
    body |= {name: value for name, value in given.items() if value}
    if allow_edits or allow_all:
        body["providerOptions"] = {"approval": "all" if allow_all else "edits"}
    if repo:
        if session:
            raise CommandFailed(
                "A session gets its repository when it is made.", remedy="Leave out --session or --repo."
            )
        body["repo"] = _repo(client, repo, ref)
    elif ref:
        raise CommandFailed("--ref names a commit of a repository.", remedy="Add --repo PATH_OR_URL.")
    started = client.post("/api/runs/start", body, {"Prefer": "respond-async"})
    run_id = str(started["runId"])
    if detach:
        if as_json:
            screen.show_json(started)
        else:
            screen.out.print(f"{run_id} in {started['sessionId']}\nfollow it: paddock tail {run_id}")
        return
    if not as_json:
        screen.out.print(f"[dim]{run_id} in {started['sessionId']}[/]")
    raise typer.Exit(Following(client, run_id, as_json=as_json).run())


@app.command()
def tail(
    run_id: RunId,
    cursor: Annotated[int, typer.Option("--cursor", min=0, help="Begin after this seq.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show a run's log from the beginning (or a cursor) and follow it to its end. Exit codes as of `run`."""
    following = Following(connect(), run_id, as_json=as_json, asks=False, stops=False)
    raise typer.Exit(following.run(cursor))


@app.command()
def steer(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id (run_…).")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to tell its agent while it works.")],
    as_json: AsJson = False,
) -> None:
    """Tell the agent of a run something while it works. To tell it afterwards, send a message: `paddock run --session`."""
    answer = connect().post(f"/api/runs/{quote(run_id, safe='')}/input", {"text": text})
    if as_json:
        screen.show_json(answer)
    elif answer["outcome"] == "taken":
        screen.out.print(f"{run_id}: told")
    else:
        screen.out.print(f"{run_id}: on its way; `paddock tail {run_id}` shows when the agent has it")


@app.command()
def stop(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="A run's id (run_…).")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every open run of the tenant (owners and operators).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop a run: interrupt its agent, then end it. With --all, every open run of the tenant."""
    if everything == bool(run_id):
        raise CommandFailed("Name the run to stop, or say --all.", remedy="paddock runs")
    if everything:
        _stop_all(as_json)
        return
    answer = connect().post(f"/api/runs/{quote(run_id, safe='')}/stop")
    if as_json:
        screen.show_json(answer)
    else:
        screen.out.print(f"{run_id}: stop requested (now {screen.styled_status(str(answer.get('status', '?')))})")


@app.command()
def runs(
    session: Session = None,
    status: Annotated[str | None, typer.Option("--status", help="queued, running, waiting_human, failed, …")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first."""
    items = list(connect().pages("/api/runs", limit, sessionId=session, status=status))
    if as_json:
        screen.show_json({"items": items})
        return
    columns = ["run", "status", "created", *(["provider"] if is_wide() else []), "message"]
    cells: dict[str, Callable[[asking.Json], str]] = {
        "run": lambda item: str(item["runId"]),
        "status": lambda item: screen.styled_status(item["status"]),
        "created": lambda item: ago(item["createdAt"]),
        "provider": lambda item: cell(item.get("provider")),
        "message": lambda item: cell(item.get("prompt")),
    }
    show_table(columns, [[cells[name](item) for name in columns] for item in items], "no runs", last="cut")


@app.command()
def explain(run_id: RunId, as_json: AsJson = False) -> None:
    """Say where a run is and why: what it waits for and what to do, its lease, attempts, failures, commands, agent."""
    found = connect().get(f"/api/runs/{quote(run_id, safe='')}/explain")
    if as_json:
        screen.show_json(found)
    else:
        explanation.show(found)


@app.command()
def blob(
    run_id: RunId,
    blob_id: Annotated[str, typer.Argument(metavar="ID", help="As shown by `tail`; its beginning will do.")],
    as_json: AsJson = False,
) -> None:
    """Print the whole of a long output, of which the log has the beginning."""
    client = connect()
    whole = blob_id if len(blob_id) == BLOB_LENGTH else _whole_blob_id(client, run_id, blob_id)
    data, _ = client.get_bytes(f"/api/task/{quote(run_id, safe='')}/trace/blobs/{quote(whole, safe='')}")
    if as_json:
        screen.show_json({"blobId": whole, "text": data.decode("utf-8", "replace")})
        return
    sys.stdout.buffer.write(data)


@app.command()
def pending(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the questions and approvals that wait for a person."""
    items = list(connect().pages("/api/human-loop/pending", limit))
    if as_json:
        screen.show_json({"items": items})
        return
    if not items:
        screen.out.print("[dim]nothing waits for a person[/]")
    shown = screen.RunScreen()
    for item in items:
        shown.line(
            f"[magenta]{item['requestId']}[/] [dim]{ago(item.get('createdAt'))}, of {item['runId']}[/]{_deadline(item)}"
        )
        shown.line(f"  {escape(screen.one_line(item.get('title', '')))}")
        asking.show_how_to_reply(shown, item)


@app.command()
def reply(
    request_id: Annotated[
        str, typer.Argument(metavar="REQUEST", help="A request's id (hlr_…); see `paddock pending`.")
    ],
    answers: Annotated[
        list[str], typer.Argument(help="allow, allow_always or deny; or answers to its questions, in their order.")
    ],
    message: Annotated[str | None, typer.Option("--message", help="What to tell the agent with the decision.")] = None,
    as_json: AsJson = False,
) -> None:
    """Answer a question or an approval. The first answer holds; a later one is told so."""
    client = connect()
    request = next((i for i in client.pages("/api/human-loop/pending", 5000) if i["requestId"] == request_id), None)
    if request is not None and request["kind"] == "question":
        body = {"requestId": request_id, **_answers(request, answers)}
    else:  # an approval, or one that is answered already: then the server says who was first
        decision = asking.decision_of(" ".join(answers))
        if decision is None:
            raise CommandFailed("That is no decision.", remedy="Say allow, allow_always or deny.")
        body = {"requestId": request_id, **decision, **({"message": message} if message else {})}
    answer = client.post("/api/human-loop/reply", body)
    if as_json:
        screen.show_json(answer)
    elif answer.get("duplicate"):
        screen.out.print("[yellow]somebody had answered before; that answer holds[/]")
    else:
        screen.out.print("answered")


def _stop_all(as_json: bool) -> None:
    answer = connect().post("/api/runs/stop-all")
    if as_json:
        screen.show_json(answer)
    else:
        before = f", {answer['skipped']} were asked before" if answer["skipped"] else ""
        screen.out.print(f"{answer['done']} runs were asked to stop{before}")


def _deadline(request: asking.Json) -> str:
    if not request.get("deadlineAt"):
        return ""
    if request.get("overdue"):
        return f" [red]overdue since {ago(request['deadlineAt'])}[/]"
    return f" [yellow]deadline {escape(str(request['deadlineAt']))}[/]"


def _whole_blob_id(client: Client, run_id: str, beginning: str) -> str:
    events = client.pages(f"/api/runs/{quote(run_id, safe='')}/events", sys.maxsize)
    named = {str((event.get("data") or {}).get("blobId") or "") for event in events}
    found = {each for each in named if each.startswith(beginning)}
    if len(found) == 1:
        return found.pop()
    remedy = f"Look for it: paddock tail {run_id}"
    raise CommandFailed(f"{len(found) or 'No'} outputs of {run_id} begin with {beginning!r}.", remedy=remedy)


def _answers(request: asking.Json, given: list[str]) -> dict[str, Any]:
    questions = list(request.get("questions") or [])
    if given == ["deny"]:
        return {"decision": "deny"}
    if len(given) != len(questions):
        shown = "; ".join(str(question.get("question", "")) for question in questions)
        raise CommandFailed(
            f"The request has {len(questions)} question(s): {shown}", remedy="Give one answer for each."
        )
    return {
        "answers": {
            str(question["id"]): asking.answer_of(question, text)
            for question, text in zip(questions, given, strict=True)
        }
    }


def _repo(client: Client, repo: str, ref: str | None) -> dict[str, str]:
    chosen = {"ref": ref} if ref else {}
    address = repository.address_of(repo)
    if address is not None:
        return {"url": address, **chosen}
    with repository.bundled(repo, ref) as (bundle, has_changes):
        if has_changes:
            screen.err.print("[yellow]![/] uncommitted changes are not sent; the agent starts from the last commit")
        answer = client.upload("/api/bundles", bundle)
    return {"bundleId": str(answer["bundleId"]), **chosen}
