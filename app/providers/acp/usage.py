"""What a turn has used, as the answer to its prompt tells it, in our classes of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "input": ("inputTokens",),
    "output": ("outputTokens",),
    "cacheRead": ("cachedReadTokens", "cachedInputTokens"),
    "cacheWrite5m": ("cachedWriteTokens", "cacheWriteInputTokens"),
    "reasoning": ("thoughtTokens", "reasoningOutputTokens"),
}


def used_of(result: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the tokens of a turn, None where the agent does not tell. `_meta.quota` counts sub-agents too, where it is."""
    quota = (result.get("_meta") or {}).get("quota") or {}
    models = [row["token_count"] for row in quota.get("model_usage") or [] if isinstance(row.get("token_count"), dict)]
    told = models or ([result["usage"]] if result.get("usage") else [])
    if not told:
        return None
    used = {ours: sum(_count(row, names) for row in told) for ours, names in _NAMES.items()}
    total = sum(int(row.get("totalTokens") or 0) for row in told)
    if total == sum(used.values()):  # the agent counts thoughts apart from the output; ours are within
        used["output"] += used["reasoning"]
    return {**used, "cacheWrite1h": 0}


def _count(row: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((int(row[name]) for name in names if row.get(name)), 0)
