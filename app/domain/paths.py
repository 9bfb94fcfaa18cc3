"""Paths inside a workspace as callers name them: made relative and normal, or refused. Nothing here looks at a disk."""

from __future__ import annotations

from app.errors import Invalid

WORKSPACE = "/workspace"
LONGEST_PATH = 4096


def path_outside() -> Invalid:
    return Invalid(
        "path_outside",
        "The path leads out of the workspace.",
        remedy="Give a path below /workspace, without `..` and without links that leave it.",
    )


def workspace_path(text: str) -> str:
    """Return `text` relative to the workspace and normal (`""` is the workspace itself); `/workspace/…` is taken too.
    Raises Invalid `path_outside` or `path_invalid`."""
    if "\0" in text or len(text.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        raise Invalid("path_invalid", "This cannot be a path.", remedy="Give a path without NUL, up to 4096 bytes.")
    if text == WORKSPACE or text.startswith(WORKSPACE + "/"):
        text = text[len(WORKSPACE) :].lstrip("/")
    if text.startswith("/"):
        raise path_outside()
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise path_outside()
    return "/".join(parts)
