"""The parts of OpenCode's messages: texts, thoughts, tool calls and the tokens of each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.events import EventType
from app.domain.turn import ToolKind
from app.providers.outbox import Outbox
from app.providers.speech import Speech, SpeechKind
from app.providers.tool_calls import ToolCall, ToolCalls

_KINDS: dict[str, ToolKind] = {
    "read": "read",
    "list": "read",
    "write": "edit",
    "edit": "edit",
    "patch": "edit",
    "apply_patch": "edit",
    "bash": "execute",
    "glob": "search",
    "grep": "search",
    "webfetch": "fetch",
    "websearch": "fetch",
    "todowrite": "think",
    "todoread": "think",
}
_VERBS = {"bash": "Run", "webfetch": "Fetch", "task": "Delegate"}
_SUBJECTS = ("command", "filePath", "pattern", "url", "query", "description", "name")
_SPEECH: dict[str, SpeechKind] = {"text": "text", "reasoning": "thinking"}


def kind_of(tool: str) -> ToolKind:
    """Return what a tool does; one that is not known here is `other`, so that a policy asks."""
    return _KINDS.get(tool, "other")


def title_of(tool: str, given: Mapping[str, Any]) -> str:
    subject = next((str(given[key]) for key in _SUBJECTS if given.get(key)), "")
    return f"{_VERBS.get(tool, tool.capitalize())} {subject.removeprefix('/workspace/')}".strip()


class Parts:
    """The parts of one turn, of the session and of those that its sub-agents have."""

    def __init__(self, outbox: Outbox, speech: Speech, calls: ToolCalls) -> None:
        self._outbox, self._speech, self._calls = outbox, speech, calls
        self._kinds: dict[str, SpeechKind] = {}  # of the texts that are open, by part
        self._printed: dict[str, int] = {}
        self._denied: set[str] = set()
        self._steps: dict[str, tuple[dict[str, int], float]] = {}
        self.cut_answers = 0
        """Answers of the model in a row that broke off without saying why they ended."""

    def on_delta(self, properties: Mapping[str, Any]) -> None:
        """Take a piece of a text or thought whose part was told of before."""
        kind = self._kinds.get(properties["partID"])
        if kind is not None and properties.get("field") == "text":
            self._speech.delta(properties["partID"], kind, properties["delta"])

    def on_part(self, part: Mapping[str, Any], *, speaks: bool, parent: str | None = None) -> None:
        """Take a part as it is now. `speaks`: it is of the assistant's own message; what sub-agents say is their call's result."""
        match part.get("type"):
            case "text" | "reasoning" as type_ if speaks:
                self._kinds[part["id"]] = _SPEECH[type_]
                if (part.get("time") or {}).get("end"):
                    self._speech.whole(part["id"], _SPEECH[type_], str(part.get("text") or ""))
            case "tool":
                self._on_tool(part, parent)
            case "step-finish":
                self._on_step(part)

    def deny(self, call_id: str) -> None:
        """A request for this call is refused: so its result is no error of the tool."""
        self._denied.add(call_id)

    def _on_tool(self, part: Mapping[str, Any], parent: str | None) -> None:
        state, id_, tool = part["state"], str(part["callID"]), str(part["tool"])
        status = state.get("status")
        if status == "pending":
            return  # its input is not there yet
        given = state.get("input") or {}
        self._calls.call(ToolCall(id_, tool, kind_of(tool), title_of(tool, given), given, parent))
        metadata = state.get("metadata") or {}
        if status == "running":
            self._print(id_, str(metadata.get("output") or ""))
        elif status == "completed":
            code = metadata.get("exit")
            output = str(state.get("output") or "")
            told = f"{output}\n[exit code {code}]".lstrip("\n") if code else output
            self._calls.result(id_, "error" if code else "ok", told)
        elif status == "error":
            self._calls.result(id_, "denied" if id_ in self._denied else "error", str(state.get("error") or ""))

    def _print(self, id_: str, output: str) -> None:
        """Tell what is new of the output, which comes whole each time."""
        self._calls.output(id_, output[self._printed.get(id_, 0) :])
        self._printed[id_] = max(len(output), self._printed.get(id_, 0))

    def _on_step(self, part: Mapping[str, Any]) -> None:
        """Add up the steps, each once: a call of the model each. The server counts reasoning apart from the output."""
        if part["id"] not in self._steps:
            self.cut_answers = self.cut_answers + 1 if part.get("reason") == "unknown" else 0
        tokens = part.get("tokens") or {}
        cache = tokens.get("cache") or {}
        reasoning = int(tokens.get("reasoning") or 0)
        counted = {
            "input": int(tokens.get("input") or 0),
            "output": int(tokens.get("output") or 0) + reasoning,
            "cacheRead": int(cache.get("read") or 0),
            "cacheWrite5m": int(cache.get("write") or 0),
            "cacheWrite1h": 0,
            "reasoning": reasoning,
        }
        self._steps[part["id"]] = (counted, float(part.get("cost") or 0))
        total = {name: sum(step[name] for step, _ in self._steps.values()) for name in counted}
        cost = sum(cost for _, cost in self._steps.values())
        self._outbox.emit(EventType.USAGE_UPDATE, **total, **({"costUsd": round(cost, 8)} if cost else {}))
