"""Tool calls as they take shape. An agent may announce a call before its input is complete, and add to it; ours is told once, so it
is told when it is asked about, when it runs, or when the agent speaks of something else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain import jsontext
from app.domain.turn import ToolKind
from app.providers.tool_calls import ResultStatus, ToolCall, ToolCalls

_KINDS: dict[str, ToolKind] = {
    "read": "read",
    "edit": "edit",
    "delete": "edit",
    "move": "edit",
    "search": "search",
    "execute": "execute",
    "think": "think",
    "fetch": "fetch",
}
_MERGED = ("name", "title", "kind", "rawInput", "rawOutput", "content", "locations", "status")
_NAME = re.compile(r"[a-zA-Z][\w.:-]*")


class Drafts:
    """The calls that the agent has spoken of and that have no result yet."""

    def __init__(self, calls: ToolCalls) -> None:
        self._calls = calls
        self._facts: dict[str, dict[str, Any]] = {}
        self._denied: set[str] = set()

    def take(self, update: Mapping[str, Any]) -> None:
        """Take a `tool_call` or a `tool_call_update`."""
        id_ = str(update["toolCallId"])
        status = update.get("status")
        self._merge(id_, update)
        if status in {"in_progress", "completed", "failed"}:
            self._tell(id_)
        if status in {"completed", "failed"}:
            self._end(id_)

    def ask(self, update: Mapping[str, Any]) -> ToolCall:
        """Take what a permission is asked for; returns the call as it is told."""
        id_ = str(update["toolCallId"])
        self._merge(id_, update)
        return self._tell(id_)

    def settle(self, *, complete_only: bool = False) -> None:
        """The agent speaks of something else: what it announced is told, or only what has an input already."""
        for id_, facts in list(self._facts.items()):
            if facts.get("rawInput") or not complete_only:
                self._tell(id_)

    def deny(self, id_: str) -> None:
        """The person or the policy said no to it."""
        self._denied.add(id_)

    def close(self) -> None:
        self.settle()
        self._calls.close()

    def _merge(self, id_: str, update: Mapping[str, Any]) -> None:
        facts = self._facts.setdefault(id_, {"first": update.get("title")})
        facts.update({key: update[key] for key in _MERGED if update.get(key) is not None})
        extra = ((update.get("_meta") or {}).get("claudeCode")) or {}
        facts.update({key: extra[key] for key in ("toolName", "parentToolUseId") if extra.get(key)})

    def _tell(self, id_: str) -> ToolCall:
        facts = self._facts[id_]
        kind = _KINDS.get(str(facts.get("kind")), "other")
        title = str(facts.get("title") or facts.get("kind") or "Use a tool")
        parent = str(facts["parentToolUseId"]) if facts.get("parentToolUseId") else None
        call = ToolCall(id_, _name_of(facts), kind, title, _input_of(facts), parent)
        self._calls.call(call)
        return call

    def _end(self, id_: str) -> None:
        facts = self._facts.pop(id_)
        status, code = _status_of(facts), _exit_code(facts)
        output = _output_of(facts)
        if code and str(code) not in output:
            output = f"{output}\n[exit code {code}]".lstrip("\n")
        denied = id_ in self._denied and status == "error"
        self._calls.result(id_, "denied" if denied else status, output)


def _name_of(facts: Mapping[str, Any]) -> str:
    """Return the agent's name of the tool. Version 1 has none: some agents add it, some begin with it as the title."""
    told = facts.get("name") or facts.get("toolName")
    first = str(facts.get("first") or "")
    return str(told or (first if _NAME.fullmatch(first) else "") or facts.get("kind") or "tool")


def _input_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    given = facts.get("rawInput")
    if isinstance(given, dict) and given:
        return given
    if given:
        return {"input": given}
    changes = [
        {key: part.get(key) for key in ("path", "oldText", "newText")}
        for part in _parts(facts)
        if part.get("type") == "diff"
    ]
    paths = [place.get("path") for place in facts.get("locations") or []]
    return {"changes": changes} if changes else {"paths": paths} if paths else {}


def _status_of(facts: Mapping[str, Any]) -> ResultStatus:
    return "error" if facts.get("status") == "failed" or _exit_code(facts) else "ok"


def _exit_code(facts: Mapping[str, Any]) -> int:
    """Return the exit code where a command's raw output has one (OpenCode calls a command that failed completed)."""
    output = facts.get("rawOutput")
    if not isinstance(output, dict):
        return 0
    metadata = output.get("metadata")
    code = output.get("exit_code") or output.get("exitCode") or (metadata or {}).get("exit")
    return code if isinstance(code, int) else 0


def _output_of(facts: Mapping[str, Any]) -> str:
    raw = facts.get("rawOutput")
    if isinstance(raw, str):
        return raw
    if isinstance(raw, dict) and isinstance(raw.get("output"), str):
        return str(raw["output"])
    said = "\n".join(text_of(part.get("content")) for part in _parts(facts) if part.get("type") == "content")
    return said or (jsontext.encode(raw).decode() if raw else "")


def _parts(facts: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    return [part for part in facts.get("content") or [] if isinstance(part, dict)]


def text_of(content: Any) -> str:
    """Return the text of a content block; what is none is named."""
    if not isinstance(content, dict):
        return ""
    return str(content.get("text") or "") if content.get("type") == "text" else f"[{content.get('type')}]"
