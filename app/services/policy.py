"""What an agent may do without asking. Until policies come there is one built-in rule set: reading is allowed, every
effect is asked; a run may widen it for itself inside its sandbox (`--allow-edits`, `--allow-all`)."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.turn import AskPolicy

WORKSPACE = "/workspace"
_READING = frozenset({"read", "search", "think"})
_PATH_NAMES = ("file_path", "notebook_path", "path")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` names what decided, so that people see why they were asked or not."""

    verdict: Literal["allow", "deny", "ask"]
    rule: str


def decide(request: AskPolicy, options: Mapping[str, Any]) -> Verdict:
    """Return the verdict on one tool call of a run with these options (`approval`: ask, edits or all)."""
    approval = options.get("approval", "ask")
    if request.kind in _READING:
        return Verdict("allow", "default:reading")
    if approval == "all":
        return Verdict("allow", "run:allow-all")
    if approval == "edits" and request.kind == "edit" and _inside_workspace(request.input):
        return Verdict("allow", "run:allow-edits")
    return Verdict("ask", "default:effects")


def _inside_workspace(tool_input: Mapping[str, Any]) -> bool:
    paths = [tool_input[name] for name in _PATH_NAMES if isinstance(tool_input.get(name), str)]
    resolved = [posixpath.normpath(posixpath.join(WORKSPACE, path)) for path in paths]
    return bool(resolved) and all(path.startswith(WORKSPACE + "/") for path in resolved)
