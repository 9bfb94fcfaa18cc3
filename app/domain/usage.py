"""Tokens by class and their cost, as `usage.update` and a run carry them. SPEC §3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOKEN_CLASSES = ("input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h", "reasoning")


def add(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sum of two usages; what is in neither is left out."""
    names = [name for name in (*TOKEN_CLASSES, "costUsd") if name in first or name in second]
    total = {name: (first.get(name) or 0) + (second.get(name) or 0) for name in names}
    if "costUsd" in total:
        total["costUsd"] = round(total["costUsd"], 9)
    return total
