"""The items of a Codex thread that are tools: what each is called, what it does, how it ended."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from app.domain.turn import ToolKind
from app.providers.tool_calls import ResultStatus, ToolCall, ToolCalls

COMMAND, PATCH = "exec_command", "apply_patch"
_SHELLS = ("/bin/bash", "/bin/sh", "bash", "sh", "/usr/bin/bash")
_VERBS = {"add": "Write", "delete": "Delete", "update": "Edit"}


def call_of(item: Mapping[str, Any]) -> ToolCall | None:
    """Return the tool call that an item is, None where it is none."""
    describe = _TOOLS.get(str(item.get("type")))
    if describe is None:
        return None
    name, kind, title, given = describe(item)
    return ToolCall(str(item.get("id")), name, kind, title, given)


def finish(calls: ToolCalls, item: Mapping[str, Any]) -> None:
    """Take a completed item: its call where it was not told of before, and its result."""
    call = call_of(item)
    if call is None:
        return
    calls.call(call)
    calls.result(call.id, _status_of(item), _output_of(item))


def command_of(line: str) -> str:
    """Return what a shell was given: the agent's words, without the shell around them."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line
    is_shell = len(words) == 3 and words[0] in _SHELLS and words[1] in {"-lc", "-c"}
    return words[2] if is_shell else line


def _status_of(item: Mapping[str, Any]) -> ResultStatus:
    if item.get("status") == "declined":
        return "denied"
    failed = item.get("status") == "failed" or item.get("exitCode") or item.get("error") or item.get("success") is False
    return "error" if failed else "ok"


def _output_of(item: Mapping[str, Any]) -> str:
    match item.get("type"):
        case "commandExecution":
            output, code = str(item.get("aggregatedOutput") or ""), item.get("exitCode")
            return f"{output}\n[exit code {code}]".lstrip("\n") if code else output
        case "mcpToolCall":
            if item.get("error"):
                return str(item["error"].get("message"))
            content = (item.get("result") or {}).get("content") or []
            return "\n".join(str(part.get("text") or f"[{part.get('type')}]") for part in content)
        case "dynamicToolCall":
            return "\n".join(
                str(part.get("text") or f"[{part.get('type')}]") for part in item.get("contentItems") or []
            )
        case _:
            return ""


_Described = tuple[str, ToolKind, str, Mapping[str, Any]]
"""Name, kind, title and input of a call."""


def _command(item: Mapping[str, Any]) -> _Described:
    command = command_of(str(item.get("command") or ""))
    return COMMAND, "execute", f"Run {command}", {"command": command, "cwd": item.get("cwd")}


def _patch(item: Mapping[str, Any]) -> _Described:
    changes = [_change(change) for change in item.get("changes") or []]
    return PATCH, "edit", _title_of(changes), {"changes": changes}


def _of_mcp(item: Mapping[str, Any]) -> _Described:
    name = f"{item.get('server')}.{item.get('tool')}"
    return name, "other", name, _input_of(item.get("arguments"))


def _dynamic(item: Mapping[str, Any]) -> _Described:
    name = str(item.get("tool"))
    return name, "other", name, _input_of(item.get("arguments"))


def _search(item: Mapping[str, Any]) -> _Described:
    query = str(item.get("query") or "")
    return "web_search", "fetch", f"Search the web for {query}", {"query": query}


def _image(item: Mapping[str, Any]) -> _Described:
    path = str(item.get("path") or "")
    return "view_image", "read", f"Look at {path}", {"path": path}


def _delegation(item: Mapping[str, Any]) -> _Described:
    name, prompt = str(item.get("tool")), item.get("prompt")
    return name, "other", f"Delegate {prompt or name}", {"prompt": prompt}


_TOOLS: dict[str, Callable[[Mapping[str, Any]], _Described]] = {
    "commandExecution": _command,
    "fileChange": _patch,
    "mcpToolCall": _of_mcp,
    "dynamicToolCall": _dynamic,
    "webSearch": _search,
    "imageView": _image,
    "collabAgentToolCall": _delegation,
}


def _change(change: Mapping[str, Any]) -> dict[str, Any]:
    kind = change.get("kind") or {}
    moved = {"movePath": kind["move_path"]} if kind.get("move_path") else {}
    return {"path": change.get("path"), "kind": kind.get("type"), "diff": change.get("diff"), **moved}


def _title_of(changes: list[dict[str, Any]]) -> str:
    if not changes:
        return "Edit files"
    first = changes[0]
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    path = str(first["path"]).removeprefix("/workspace/")
    return f"{_VERBS.get(str(first['kind']), 'Edit')} {path}{more}"


def _input_of(arguments: Any) -> Mapping[str, Any]:
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}
