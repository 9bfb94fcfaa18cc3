"""What the scripted model says next. It keeps no state: the script is in the user's prompt, and how far it has come is read
from the ids of its own tool calls in the history, so it survives restarts, resumes and several agents at once.

    [[text:…]] [[think:…]]          a text, a thought
    [[slow:N:MS]]                   a text of N words, MS apart
    [[gate:NAME]]                   waits in mid text until the test calls `server.open(NAME)`
    [[write:PATH:TEXT]] [[read:PATH]] [[bash:COMMAND]] [[edit:PATH:OLD:NEW]]
    [[ask]] [[ask:QUESTION|A|B]]    AskUserQuestion
    [[todo]] [[todowrite]]          TaskCreate ×2 and TaskUpdate · TodoWrite twice
    [[agent:PROMPT]]                a sub-agent; `{{…}}` in PROMPT becomes `[[…]]` for it
    [[plan]]                        ExitPlanMode
    [[tool:NAME:{json}]]            any tool
    [[both:COMMAND:COMMAND]]        two Bash calls in one answer
    [[recall]]                      repeats the earlier prompts of the conversation: proves memory
    [[error:CODE]] [[error:CODE:N]] an API error, always or for the first N calls
    [[hang]] [[cut]] [[nothing]]    never answers · closes the connection in mid text · answers 200 and nothing more

Anything else is echoed. A prompt that begins with "Continue", or ends with "Continue.", goes on with the script before it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

MARKER = re.compile(r"\[\[(\w+)(?::(.*?))?\]\]", re.DOTALL)
CUT_OFF = ("[Tool call interrupted", "Tool permission request failed")
"""How results begin of calls whose agent died; they are made again."""
REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


@dataclass(frozen=True)
class Turn:
    """One message of the history, in no API's form. `results` are tool results: id -> text."""

    role: Literal["user", "assistant"]
    texts: tuple[str, ...] = ()
    tool_ids: tuple[str, ...] = ()
    results: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Text:
    """Spoken in `pieces`, with a pause before each; `gate` holds the last one back."""

    pieces: tuple[str, ...]
    pause_seconds: float = 0
    gate: str | None = None
    kind: Literal["text", "thinking"] = "text"
    cut: bool = False


@dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    input: dict[str, Any]


@dataclass(frozen=True)
class Failing:
    """Answer with this HTTP status; `times` of them where given. Status 0: do not answer at all; 200:
    with nothing."""

    status: int
    key: str
    times: int | None = None


@dataclass(frozen=True)
class Action:
    name: str
    argument: str


def next_answer(
    history: list[Turn], is_over: Callable[[Failing], bool] = lambda _: False
) -> list[Text | ToolCall] | Failing:
    """Return the blocks of the model's next message, or how the call fails; `is_over` tells of a counted failure that it has
    happened often enough."""
    prompts = _prompts(history)
    place, prompt = _script(prompts)
    key = hashlib.sha256(f"{place}:{prompt}".encode()).hexdigest()[:8]
    blocks: list[Text | ToolCall] = []
    for index, action in enumerate(_actions(prompt)):
        if action.name in {"error", "hang", "nothing"}:
            status, _, times = action.argument.partition(":")
            failing = Failing(
                200 if action.name == "nothing" else int(status or 0), f"{key}:{index}", int(times) if times else None
            )
            if not is_over(failing):
                return failing
        elif calls := _calls(action):
            open_ = [n for n in range(len(calls)) if not _done(history, key, index, n)]
            if len(open_) < len(calls):
                blocks = []  # spoken before
            if open_:
                together = open_ if action.name == "both" else open_[:1]
                return blocks + [ToolCall(_new_id(history, key, index, n), *calls[n]) for n in together]
        else:
            blocks.append(_spoken(action, prompts))
    return blocks or [Text(_pieces("Done. " + _last_result(history)))]


def _prompts(history: list[Turn]) -> list[str]:
    found = []
    for turn in history:
        if turn.role == "user":
            text = "\n".join(filter(None, (REMINDER.sub("", text).strip() for text in turn.texts)))
            if text and not text.startswith("[Request interrupted"):
                found.append(text)
    return found or [""]


def _script(prompts: list[str]) -> tuple[int, str]:
    """Return place and text of the prompt that is being worked on."""
    for place in range(len(prompts) - 1, -1, -1):
        prompt = prompts[place]
        if place == 0 or not (prompt.startswith("Continue") or prompt.endswith("Continue.")):
            return place, prompts[place]
    return 0, prompts[0]


def _actions(prompt: str) -> list[Action]:
    found = [Action(name, argument) for name, argument in MARKER.findall(prompt)]
    return found or [Action("echo", prompt)]


def _calls(action: Action) -> list[tuple[str, dict[str, Any]]]:
    """Return the tool calls of an action, `(name, input)`; none where it only speaks."""
    argument = action.argument
    calls: list[tuple[str, dict[str, Any]]] = []
    match action.name:
        case "write":
            path, _, text = argument.partition(":")
            calls = [("Write", {"file_path": path, "content": text})]
        case "read":
            calls = [("Read", {"file_path": argument})]
        case "edit":
            path, old, new = argument.split(":", 2)
            calls = [("Edit", {"file_path": path, "old_string": old, "new_string": new})]
        case "bash":
            calls = [("Bash", {"command": argument, "description": "Run a command"})]
        case "both":
            calls = [("Bash", {"command": part, "description": "Run a command"}) for part in argument.split(":", 1)]
        case "ask":
            question, *options = (argument or "Which colour?|Red|Blue").split("|")
            described = [{"label": option, "description": f"Take {option}"} for option in options]
            asked = {"question": question, "header": "Choice", "options": described, "multiSelect": False}
            calls = [("AskUserQuestion", {"questions": [asked]})]
        case "todo":
            calls = _task_calls()
        case "todowrite":
            calls = [("TodoWrite", {"todos": _todos("in_progress")}), ("TodoWrite", {"todos": _todos("completed")})]
        case "agent":
            prompt = argument.replace("{{", "[[").replace("}}", "]]")
            calls = [("Agent", {"description": "A part of it", "prompt": prompt, "subagent_type": "general-purpose"})]
        case "plan":
            calls = [("ExitPlanMode", {"plan": "1. do it"})]
        case "tool":
            name, _, given = argument.partition(":")
            calls = [(name, json.loads(given or "{}"))]
    return calls


def _task_calls() -> list[tuple[str, dict[str, Any]]]:
    created = [
        ("TaskCreate", {"subject": subject, "description": subject, "activeForm": f"Doing: {subject}"})
        for subject in ("write the file", "report")
    ]
    moved = [("TaskUpdate", {"taskId": "1", "status": status}) for status in ("in_progress", "completed")]
    return [*created, *moved]


def _todos(first: str) -> list[dict[str, str]]:
    return [
        {"content": "write the file", "status": first, "activeForm": "Writing the file"},
        {"content": "report", "status": "pending", "activeForm": "Reporting"},
    ]


def _spoken(action: Action, prompts: list[str]) -> Text:
    said = f"I do not know {action.name}."
    match action.name:
        case "slow":
            count, _, pause_ms = action.argument.partition(":")
            words = tuple(f"word{i + 1} " for i in range(int(count)))
            return Text(words, pause_seconds=int(pause_ms or 100) / 1000)
        case "gate":
            return Text(("Before the gate. ", "Behind the gate."), gate=action.argument)
        case "cut":
            return Text(("This is ", "cut"), cut=True)
        case "text" | "think":
            said = action.argument
        case "recall":
            earlier = prompts[: _script(prompts)[0]]
            said = "Earlier you said: " + " | ".join(MARKER.sub("", text).strip() or text for text in earlier)
        case "echo":
            said = f"You said: {action.argument}"
    return Text(_pieces(said), kind="thinking" if action.name == "think" else "text")


def _pieces(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\S+\s*|\s+", text)) or ("",)


def _done(history: list[Turn], key: str, index: int, n: int) -> bool:
    """True where this call has a result; one cut off by a crash or a stop is made again."""
    start = f"toolu_{key}_{index}_{n}_"
    results = [text for turn in history for id_, text in turn.results.items() if id_.startswith(start)]
    return any(not text.startswith(CUT_OFF) for text in results)


def _new_id(history: list[Turn], key: str, index: int, n: int) -> str:
    start = f"toolu_{key}_{index}_{n}_"
    return start + str(sum(id_.startswith(start) for turn in history for id_ in turn.tool_ids))


def _last_result(history: list[Turn]) -> str:
    results = [text for turn in history for text in turn.results.values()]
    return f"The last tool said: {results[-1][:200]}" if results else ""
