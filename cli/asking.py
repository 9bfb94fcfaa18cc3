"""Asking the person at the terminal what an agent asks: approvals and questions. Nothing is ever answered by itself.

Reading the terminal never blocks the stream: the caller offers lines, and another's answer closes the question here.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape

from cli.screen import RunScreen, clean, one_line

Json = Mapping[str, Any]

_DECISIONS = {"y": "allow", "yes": "allow", "allow": "allow", "a": "allow_always", "always": "allow_always"}
_DECISIONS |= {"allow_always": "allow_always", "n": "deny", "no": "deny", "deny": "deny"}


@dataclass
class Asking:
    """The open request of a run, if there is one, and those behind it."""

    screen: RunScreen
    _open: deque[Json] = field(default_factory=deque)
    _answers: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return bool(self._open)

    def ask(self, request: Json) -> None:
        """Take a request that is still open; it is shown when it is the first one."""
        self._open.append(request)
        if len(self._open) == 1:
            self._show()

    def leave_open(self) -> list[Json]:
        """Ask no more: return the requests that were open here, which stay open on the server."""
        left = list(self._open)
        self._open.clear()
        self._answers.clear()
        return left

    def close(self, request_id: str) -> None:
        """A request was resolved, here or elsewhere."""
        was_first = bool(self._open) and self._open[0]["requestId"] == request_id
        self._open = deque(each for each in self._open if each["requestId"] != request_id)
        if was_first:
            self._answers.clear()
            if self._open:
                self._show()

    def take(self, line: str) -> Json | None:
        """Take a typed line; return the body of the reply when it completes one, None when more is needed."""
        request = self._open[0]
        if request["kind"] == "question":
            return self._take_answer(request, line)
        body = decision_of(line)
        if body is None:
            self._prompt("Type y (allow), a (always allow this tool), n (deny), or n and a reason: ")
            return None
        return {"requestId": request["requestId"], **body}

    def _take_answer(self, request: Json, line: str) -> Json | None:
        questions = list(request.get("questions") or [])
        question = questions[len(self._answers)]
        chosen = answer_of(question, line)
        if not chosen:
            self._prompt("Type the number of an option or your own words: ")
            return None
        self._answers[str(question["id"])] = chosen
        if len(self._answers) < len(questions):
            self._show_question(questions[len(self._answers)])
            return None
        return {"requestId": request["requestId"], "answers": dict(self._answers)}

    def _show(self) -> None:
        request = self._open[0]
        if request["kind"] == "question":
            self._show_question((request.get("questions") or [])[0])
            return
        show_tool_call(self.screen, request)
        self._prompt("Allow? [y]es, [a]lways for this tool, [n]o (a reason may follow): ")

    def _show_question(self, question: Json) -> None:
        show_question(self.screen, question)
        several = " (several: 1,3)" if is_multiple(question) else ""
        self._prompt(f"Number or your own words{several}: ")

    def _prompt(self, text: str) -> None:
        self.screen.end_line()
        sys.stdout.write(text)
        sys.stdout.flush()


def decision_of(line: str) -> dict[str, Any] | None:
    """Return what `y`, `always`, `no because …` decide, None where it is none of these."""
    word, _, message = line.strip().partition(" ")
    decision = _DECISIONS.get(word.rstrip(",:;").lower())
    if decision is None:
        return None
    return {"decision": decision, **({"message": message.strip()} if message.strip() else {})}


def answer_of(question: Json, line: str) -> list[str]:
    """Return the answers that a line gives: labels of options by number, or the words as they are."""
    labels = [str(option.get("label", "")) for option in question.get("options") or []]
    parts = [part.strip() for part in line.split(",")] if is_multiple(question) else [line.strip()]
    parts = [part for part in parts if part]
    if parts and all(part.isdigit() and 0 < int(part) <= len(labels) for part in parts):
        return [labels[int(part) - 1] for part in parts]
    return [line.strip()] if line.strip() else []


def is_multiple(question: Json) -> bool:
    return bool(question.get("multiple") or question.get("multiSelect"))


def show_tool_call(screen: RunScreen, request: Json) -> None:
    """Print what an agent wants to do, with the input that matters."""
    call = request.get("toolCall") or {}
    for name, value in (call.get("input") or {}).items():
        screen.line(f"    [dim]{escape(clean(name))}:[/] {escape(one_line(value, 400))}")


def show_question(screen: RunScreen, question: Json) -> None:
    screen.line(f"  [bold]{escape(clean(question.get('question', '')))}[/]")
    for number, option in enumerate(question.get("options") or [], 1):
        about = f" [dim]{escape(one_line(option['description']))}[/]" if option.get("description") else ""
        screen.line(f"    {number}. {escape(one_line(option.get('label', '')))}{about}")


def show_how_to_reply(screen: RunScreen, request: Json) -> None:
    """Print the request whole and the command that answers it from elsewhere."""
    request_id = request["requestId"]
    if request["kind"] == "question":
        for question in request.get("questions") or []:
            show_question(screen, question)
        screen.line(f'  waiting for an answer:\n    paddock reply {escape(str(request_id))} "your answer"')
        return
    show_tool_call(screen, request)
    screen.line(f"  waiting for a decision:\n    paddock reply {escape(str(request_id))} allow | allow_always | deny")


class Terminal:
    """Lines typed at the terminal, read without blocking longer than asked."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._ended = self._gone = False

    @property
    def is_there(self) -> bool:
        return not self._gone and os.isatty(self._descriptor)

    @property
    def has_ended(self) -> bool:
        """True once Ctrl-D was pressed: lines typed after it are no answers."""
        return self._ended

    def read_line(self, seconds: float) -> str | None:
        """Return a whole line if one comes within `seconds`, else None."""
        line = self._take_line()  # several may have come at once
        if line is not None or not select.select([self._descriptor], [], [], seconds)[0]:
            return line
        try:
            data = os.read(self._descriptor, 4096)
        except OSError:  # EIO: the terminal was closed
            self._gone, data = True, b""
        if not data:
            self._ended, self._rest = True, b""
        self._rest += data
        return self._take_line()

    def _take_line(self) -> str | None:
        line, found, rest = self._rest.partition(b"\n")
        if not found:
            return None
        self._rest = rest
        return line.decode("utf-8", "replace")
