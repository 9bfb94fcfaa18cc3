"""How things look on the terminal: a run's events as they come, problems. Knows no network; tables are in `tables`.

What agents write is shown without control characters: a reply must not move the cursor or set the window's title.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from cli.errors import CommandFailed

Json = Mapping[str, Any]

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = {"completed": "[green]✔[/]", "in_progress": "[yellow]▶[/]", "pending": "[dim]○[/]"}
_STATUS_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "blocked": "red",
    "canceled": "yellow",
    "running": "cyan",
    "waiting_human": "magenta",
}
_SILENT = {"run.closed", "usage.update", "tool.output"}
LONGEST_LINE = 160
SHORT_BLOB = 12  # characters of a blob's id that `paddock blob` takes for it


def clean(text: object) -> str:
    """Return text without what a terminal would obey."""
    return _CONTROLS.sub("", str(text))


def one_line(text: object, length: int = LONGEST_LINE) -> str:
    words = " ".join(clean(text).split())
    return words if len(words) <= length else words[: length - 1] + "…"


def styled_status(status: str) -> str:
    style = _STATUS_STYLES.get(status)
    return f"[{style}]{escape(status)}[/]" if style else escape(status)


class RunScreen:
    """Prints the envelopes of one run in order. `finished` is the data of `run.finished` once it came; `name_of` tells what a
    person is called, by his id."""

    def __init__(self, console: Console = out, name_of: Callable[[str], str] = str) -> None:
        self._console = console
        self._name_of = name_of
        self._run_id = ""
        self._open_line = False
        self._streamed: set[str] = set()
        self._tools: dict[str, str] = {}
        self.finished: Json | None = None
        self.status = ""
        self._handlers: dict[str, Callable[[Json], None]] = {
            "message.delta": self._text,
            "message.stop": self._message,
            "thinking.delta": self._thinking,
            "thinking.stop": self._thinking_stop,
            "run.status": self._status,
            "run.started": self._started,
            "context.restored": self._restored,
            "tool.call": self._tool,
            "tool.result": self._result,
            "todo.update": self._todos,
            "human_loop.requested": self._asked,
            "human_loop.resolved": self._answered,
            "run.warning": self._warning,
            "workspace.synced": self._synced,
            "workspace.sync_failed": self._sync_failed,
            "run.finished": self._finished,
        }

    def show(self, envelope: Json) -> None:
        """Print one envelope; an unknown type is named, never an error."""
        data = envelope.get("data") or {}
        kind = str(envelope.get("type", ""))
        self._run_id = str(envelope.get("runId", ""))
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(data)
        elif kind not in _SILENT:
            self.line(f"[dim]· {escape(kind)} {escape(one_line(json.dumps(data, ensure_ascii=False)))}[/]")

    def line(self, markup: str) -> None:
        """Print a line of its own, after ending an unfinished line of text."""
        self.end_line()
        self._console.print(markup)

    def end_line(self) -> None:
        if self._open_line:
            self._console.out("")
            self._open_line = False

    def _text(self, data: Json, style: str | None = None) -> None:
        self._streamed.add(str(data.get("messageId")))
        self._write(clean(data.get("text", "")), style)

    def _thinking(self, data: Json) -> None:
        self._text(data, "dim italic")

    def _message(self, data: Json) -> None:
        if data.get("role") == "user":
            by = f"{escape(clean(self._name_of(str(data['by']))))}: " if data.get("by") else ""
            self.line(f"[bold]» {by}{escape(clean(data.get('text', '')))}[/]")
        else:
            self._stop(data)

    def _stop(self, data: Json, style: str | None = None) -> None:
        if str(data.get("messageId")) not in self._streamed:
            self._write(clean(data.get("text", "")), style)
        self.end_line()

    def _thinking_stop(self, data: Json) -> None:
        self._stop(data, "dim italic")

    def _write(self, text: str, style: str | None) -> None:
        if not text:
            return
        self._console.out(text, style=style, end="")
        self._console.file.flush()
        self._open_line = not text.endswith("\n")

    def _status(self, data: Json) -> None:
        self.status = str(data.get("status", ""))
        reason = f" ({escape(one_line(data['reason']))})" if data.get("reason") else ""
        if self.status == "queued" and reason:
            self.line(f"[yellow]↻ back in the queue{reason}[/]")

    def _started(self, data: Json) -> None:
        attempt = data.get("attempt", 1)
        again = f" · attempt {attempt}" if attempt != 1 else ""
        model = f" · {escape(clean(data['model']))}" if data.get("model") else ""
        self.line(f"[dim]{escape(clean(data.get('provider', '')))}{model}{again}[/]")

    def _restored(self, data: Json) -> None:
        if data.get("mode") not in (None, "fresh"):
            self.line(f"[dim]context: {escape(str(data['mode']).replace('_', ' '))}[/]")

    def _tool(self, data: Json) -> None:
        title = one_line(data.get("title") or data.get("name") or "tool")
        self._tools[str(data.get("toolCallId"))] = title
        indent = "  " if data.get("parentToolCallId") else ""
        self.line(f"{indent}[cyan]⏺[/] {escape(title)} [dim]{escape(clean(data.get('kind', '')))}[/]")

    def _result(self, data: Json) -> None:
        status = data.get("status", "ok")
        output = one_line(data.get("output") or "", 120)
        shown = f" [dim]{escape(output)}[/]" if output else ""
        title = "" if status == "ok" else f" {escape(self._tools.get(str(data.get('toolCallId')), ''))}"
        mark = {"ok": "[green]ok[/]", "denied": "[yellow]denied[/]"}.get(
            str(status), f"[red]{escape(clean(status))}[/]"
        )
        self.line(f"  [dim]⎿[/] {mark}{title}{shown}")
        if data.get("blobId"):
            self.line(
                f"    [dim]the whole output: paddock blob {self._run_id} {escape(str(data['blobId'])[:SHORT_BLOB])}[/]"
            )
        elif data.get("truncated"):
            self.line("    [dim]the rest of the output could not be kept[/]")

    def _todos(self, data: Json) -> None:
        for todo in data.get("todos") or []:
            mark = _MARKS.get(str(todo.get("status")), "○")
            self.line(f"  {mark} {escape(one_line(todo.get('content', '')))}")

    def _asked(self, data: Json) -> None:
        self.line(f"[magenta]? {escape(one_line(data.get('title', '')))}[/]")

    def _answered(self, data: Json) -> None:
        by = f" by {escape(clean(self._name_of(str(data['by']))))}" if data.get("by") else ""
        reply = data.get("reply") or {}
        said = reply.get("decision") or "; ".join(", ".join(each) for each in (reply.get("answers") or {}).values())
        what = f": {escape(one_line(said))}" if said else ""
        self.line(f"[magenta]  {escape(clean(data.get('outcome', '')))}{by}{what}[/]")

    def _warning(self, data: Json) -> None:
        self.line(f"[yellow]! {escape(one_line(data.get('message') or data.get('code', ''), 500))}[/]")

    def _synced(self, data: Json) -> None:
        changed = data.get("filesChanged", 0)
        if changed:
            self.line(f"[dim]saved {changed} changed file{'s' if changed != 1 else ''}[/]")

    def _sync_failed(self, data: Json) -> None:
        self.line(f"[yellow]! the files could not be saved: {escape(one_line(data.get('error', '')))}[/]")

    def _finished(self, data: Json) -> None:
        self.finished = data
        self.status = str(data.get("status", ""))
        self.line(f"{styled_status(self.status)} [dim]{escape(usage_line(data.get('usage') or {}))}[/]")
        if data.get("failureCode"):
            message = one_line(data.get("message") or data.get("stopReason") or "", 500)
            self.line(f"[red]{escape(clean(data['failureCode']))}[/] {escape(message)}")
        if data.get("remedy"):
            self.line(f"→ {escape(one_line(data['remedy'], 500))}")


def usage_line(usage: Json) -> str:
    """Return tokens and cost in a few words; empty where nothing is known."""
    if not usage:
        return ""
    read = sum(int(usage.get(name) or 0) for name in ("input", "cacheRead", "cacheWrite5m", "cacheWrite1h"))
    about = "about " if usage.get("estimated") else ""
    parts = [f"{about}{read} tokens in, {int(usage.get('output') or 0)} out"]
    if usage.get("costUsd"):
        parts.append(f"${float(usage['costUsd']):.4f}")
    return " · ".join(parts)


def show_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_failure(error: CommandFailed, *, as_json: bool) -> None:
    """Print a problem on stderr: what, why, what to do."""
    if as_json:
        sys.stderr.write(json.dumps(error.as_json(), ensure_ascii=False) + "\n")
        return
    code = f" [dim]({escape(error.code)})[/]" if error.code else ""
    err.print(f"[red]✘[/] {escape(clean(error.title))}{code}")
    if error.detail and error.detail != error.title:
        for line in clean(error.detail).splitlines():
            err.print(f"  {escape(line)}")
    if error.remedy:
        err.print(f"→ {escape(clean(error.remedy))}")
