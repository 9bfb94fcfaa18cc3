"""The tools of Claude Code: what each is, its calls and results, and the todo list that some of them keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.events import EventType
from app.domain.turn import ToolKind
from app.providers.outbox import Outbox

_KINDS: dict[str, ToolKind] = {
    "Read": "read",
    "NotebookRead": "read",
    "LS": "read",
    "Write": "edit",
    "Edit": "edit",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Bash": "execute",
    "BashOutput": "execute",
    "KillShell": "execute",
    "Glob": "search",
    "Grep": "search",
    "ToolSearch": "search",
    "WebSearch": "fetch",
    "WebFetch": "fetch",
    "TodoWrite": "think",
    "TaskCreate": "think",
    "TaskUpdate": "think",
    "TaskGet": "think",
    "TaskList": "think",
    "EnterPlanMode": "think",
}
_SUBJECTS = ("command", "file_path", "notebook_path", "pattern", "url", "query", "subject", "description", "skill")
_VERBS = {
    "Bash": "Run",
    "WebFetch": "Fetch",
    "WebSearch": "Search the web for",
    "Agent": "Delegate",
    "Task": "Delegate",
}
_TITLE_LENGTH = 200


def kind_of(name: str) -> ToolKind:
    """Return what a tool does; one that is not known here is `other`, so that a policy asks."""
    return _KINDS.get(name, "other")


def title_of(name: str, given: Mapping[str, Any]) -> str:
    """Return one line that says what a call is about."""
    if name == "ExitPlanMode":
        return "Approve the plan"
    subject = next((str(given[key]) for key in _SUBJECTS if given.get(key)), "")
    line = f"{_VERBS.get(name, name)} {subject}".strip().replace("\n", " ")
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"


def questions_of(given: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the questions of an AskUserQuestion call as SPEC §3 has them; ids are q1, q2, …"""
    return tuple(_question(number, asked) for number, asked in enumerate(given.get("questions") or [], 1))


def _question(number: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    options = [
        {key: option[key] for key in ("label", "description") if option.get(key)}
        for option in asked.get("options") or []
    ]
    question: dict[str, Any] = {"id": f"q{number}", "question": str(asked.get("question", "")), "options": options}
    if asked.get("header"):
        question["header"] = asked["header"]
    if asked.get("multiSelect"):
        question["multiple"] = True
    return question


def text_of(content: Any) -> str:
    """Return the content of a tool result as text."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or f"[{part.get('type')}]") for part in content)
    return "" if content is None else str(content)


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    input: Mapping[str, Any]
    parent: str | None


class Tools:
    """The calls of a turn that have no result yet, and the todos."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._open: dict[str, Call] = {}
        self._todos = Todos(outbox)

    def on_call(self, block: Mapping[str, Any], parent: str | None) -> None:
        """Take a whole `tool_use` block."""
        id_, name, given = str(block["id"]), str(block["name"]), block.get("input") or {}
        if id_ in self._open:
            return
        self._open[id_] = Call(name, given, parent)
        origin = {"parentToolCallId": parent} if parent else {}
        self._outbox.emit(
            EventType.TOOL_CALL,
            toolCallId=id_,
            name=name,
            kind=kind_of(name),
            title=title_of(name, given),
            input=given,
            **origin,
        )

    def on_result(self, block: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        """Take a `tool_result` block of a `user` line."""
        id_ = str(block["tool_use_id"])
        call = self._open.pop(id_, None)
        if call is None:
            return
        status = "error" if block.get("is_error") else "ok"
        if _was_denied(id_, line):
            status = "denied"
        output = text_of(block.get("content"))
        self._outbox.emit(EventType.TOOL_RESULT, toolCallId=id_, status=status, output=output)
        told = line.get("tool_use_result")
        if status == "ok" and call.parent is None and isinstance(told, dict):
            self._todos.on_result(call, told)

    def close(self) -> None:
        """The turn is over; what has no result was cut off."""
        for id_ in self._open:
            self._outbox.emit(EventType.TOOL_RESULT, toolCallId=id_, status="error", output="interrupted")
        self._open.clear()


def _was_denied(id_: str, line: Mapping[str, Any]) -> bool:
    for meta in line.get("tool_result_meta") or []:
        if meta.get("id") == id_:
            decision = (meta.get("permission_decision") or {}).get("decision")
            return decision == "reject" or meta.get("non_execution_kind") == "permission-rule"
    return False


class Todos:
    """The list that TaskCreate and TaskUpdate, or TodoWrite, change. Ids are the tasks' own; TodoWrite has none, there the
    content stands for it, and its place among equal ones."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._items: dict[str, dict[str, Any]] = {}
        self._ids: dict[tuple[str, int], str] = {}  # by content, and which of those that share it

    def on_result(self, call: Call, told: Mapping[str, Any]) -> None:
        """Take the structured result of a call that went well."""
        if call.name == "TodoWrite":
            self._replace(told.get("newTodos") or [])
        elif call.name == "TaskList":
            self._items = {str(task["id"]): _todo(str(task["id"]), task) for task in told.get("tasks") or []}
        elif call.name == "TaskCreate" and told.get("task"):
            id_ = str(told["task"]["id"])
            self._items[id_] = _todo(id_, {**call.input, **told["task"]})
        elif call.name == "TaskUpdate" and call.input.get("taskId"):
            self._update(str(call.input["taskId"]), call.input)
        else:
            return
        self._outbox.emit(EventType.TODO_UPDATE, todos=[dict(item) for item in self._items.values()])

    def _replace(self, todos: list[Mapping[str, Any]]) -> None:
        self._items = {}
        seen: Counter[str] = Counter()
        for todo in todos:
            content = str(todo.get("content"))
            seen[content] += 1
            id_ = self._ids.setdefault((content, seen[content]), str(len(self._ids) + 1))
            self._items[id_] = _todo(id_, todo)

    def _update(self, id_: str, given: Mapping[str, Any]) -> None:
        if given.get("status") == "deleted":
            self._items.pop(id_, None)
            return
        # a task of an earlier turn of the conversation: its subject was told then, not here
        item = self._items.setdefault(id_, _todo(id_, {"subject": f"Task {id_}"}))
        if given.get("subject"):
            item["content"] = given["subject"]
        if given.get("status"):
            item["status"] = given["status"]


def _todo(id_: str, told: Mapping[str, Any]) -> dict[str, Any]:
    content = told.get("content") or told.get("subject") or ""
    return {"id": id_, "content": content, "status": told.get("status") or "pending"}
