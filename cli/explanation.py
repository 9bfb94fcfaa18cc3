"""How `paddock explain` shows why a run is where it is. What it says is the server's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.markup import escape

from cli.screen import clean, one_line, out, styled_status
from cli.tables import ago

Json = Mapping[str, Any]


def show(found: Json) -> None:
    """Print the answer of `GET /api/runs/{id}/explain`: the words first, then what they were made of."""
    out.print(
        f"{found['runId']} is {styled_status(str(found['status']))} [dim]in {found['sessionId']}, trace {_text(found.get('traceId'))}[/]"
    )
    out.print(escape(clean(found["summary"])))
    if found.get("advice"):
        out.print(f"→ {escape(clean(found['advice']))}")
    for title, lines in (
        ("lease", [_lease(found["lease"])]),
        ("sandbox", _sandbox(found.get("sandbox"))),
        ("attempts", _attempts(found["attempts"])),
        ("failures", _failures(found["failures"])),
        ("journal", [_journal(found["journal"], found["lastSeq"])]),
        ("last input", _last_input(found.get("lastInput"))),
        ("requests", [_request(each) for each in found["requests"]]),
        ("commands", [_command(each) for each in found["commands"]]),
        ("callbacks", _callbacks(found.get("callbacks"))),
    ):
        for number, line in enumerate(lines):
            out.print(f"  [dim]{title if number == 0 else '':<11}[/]{line}")


def _lease(lease: Json) -> str:
    number = f"epoch {lease['epoch']}"
    if lease.get("owner"):
        state = "[red]over since[/]" if lease.get("over") else "until"
        return f"{number}, held by {_text(lease['owner'])} {state} {_text(lease['until'])}"
    if lease.get("letGoAt"):
        stopped = ", its sandbox was stopped" if lease.get("sandboxStoppedAt") else ""
        return f"{number}, let go {ago(lease['letGoAt'])}{stopped}"
    return f"{number}, nobody holds it"


def _sandbox(sandbox: Json | None) -> Iterator[str]:
    if sandbox is None:
        return
    words = {"never": "files not saved yet", "pending": "files are being saved", "failed": "[red]files not saved[/]"}
    saved = words.get(str(sandbox["lastSyncStatus"]), f"files saved in {sandbox.get('snapshotId')}")
    yield f"{sandbox['status']}, generation {sandbox['generation']}, {saved}"
    for name in ("error", "lastSyncError"):
        if sandbox.get(name):
            yield f"[red]{_text(sandbox[name])}[/]"


def _attempts(attempts: list[Json]) -> Iterator[str]:
    for each in attempts:
        model = f" · {_text(each['model'])}" if each.get("model") else ""
        context = f", {str(each['context']).replace('_', ' ')}" if each.get("context") else ""
        end = f"; {styled_status(str(each['status']))} {ago(each.get('endedAt'))}" if each.get("status") else ""
        yield f"{each['attempt']}. {_text(each.get('provider'))}{model}{context}, began {ago(each['startedAt'])}{end}"
        if each.get("code"):
            yield f"   [red]{_text(each['code'])}[/] {_text(each.get('message'))}"


def _failures(failures: Json) -> Iterator[str]:
    if not failures["count"] and not failures.get("code"):
        return
    deaths = f", in {failures['deaths']} of them worker or sandbox died" if failures["deaths"] else ""
    yield f"{failures['count']}{deaths}"
    if failures.get("retryAt"):
        yield f"tried again at {failures['retryAt']}"
    if failures.get("code"):
        yield f"[red]{_text(failures['code'])}[/] ({_text(failures.get('failureClass'))}) {_text(failures.get('message'))}"


def _journal(journal: Json, last_seq: int) -> str:
    words = {
        "not_started": "no agent was started yet",
        "running": "the agent runs",
        "ended": f"the agent has ended ({_text(journal.get('exit'))})",
        "no_sandbox": "its sandbox does not run: nobody to ask",
        "unreachable": f"[red]the executor does not answer[/]: {_text(journal.get('error'))}",
        "unknown": "the executor knows no such agent",
    }
    facts = [words.get(str(journal["state"]), _text(journal["state"]))]
    if journal.get("last") is not None:
        facts.append(f"last record {journal['last']}")
    if journal.get("inLog"):
        facts.append(f"in the log up to {journal['inLog']}")
    return f"{', '.join(facts)}; last seq {last_seq}"


def _last_input(given: Json | None) -> Iterator[str]:
    if given is not None:
        yield f"{given['kind']} {ago(given['at'])}: {_text(given['text'])}"


def _request(request: Json) -> str:
    outcome = str(request.get("outcome") or "open")
    by = f" by {_text(request.get('byName') or request['by'])}" if request.get("by") else ""
    delivered = "" if outcome != "answered" or request.get("deliveredAt") else ", not delivered yet"
    return f"{request['requestId']} {outcome}{by}{delivered}: {_text(request['title'])}"


def _command(command: Json) -> str:
    seq = command.get("appliedSeq")
    state = f"took effect at seq {seq}" if seq is not None else "[yellow]not taken up yet[/]"
    return f"{command['kind']}, given {ago(command['createdAt'])}, {state}"


def _callbacks(callbacks: Json | None) -> Iterator[str]:
    if callbacks is None:
        return
    waiting = f"[yellow]{callbacks['waiting']} not taken up yet[/]" if callbacks["waiting"] else "all have taken effect"
    yield f"{callbacks['count']} of its executor, first {ago(callbacks['firstAt'])}, last {ago(callbacks['lastAt'])}, {waiting}"


def _text(value: object) -> str:
    return escape(one_line(value if value is not None else "", 300))
