"""What an attempt has used. The CLI counts per conversation: after `--resume` its cost and its `modelUsage` go on from where the
conversation stood, and `result.usage` leaves out sub-agents. So it is asked (`get_usage`) before the prompt, and the answer
is subtracted from everything after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.domain.events import EventType
from app.providers.outbox import Outbox

_CLASSES = {
    "input": "inputTokens",
    "output": "outputTokens",
    "cacheRead": "cacheReadInputTokens",
    "cacheWrite5m": "cacheCreationEphemeral5mInputTokens",
    "cacheWrite1h": "cacheCreationEphemeral1hInputTokens",
    "reasoning": "thinkingTokens",
}
_DECIMALS = 8
"""Of a US dollar: enough for one token of the cheapest model, few enough to hide the float's noise."""


class Usage:
    """Emits `usage.update` where the numbers have grown, cumulative for the attempt."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._base: dict[str, float] | None = None
        self._told: dict[str, float] | None = None

    def on_answer(self, response: Mapping[str, Any]) -> None:
        """Take the answer to `get_usage`; the first one is the base."""
        session = response.get("session")
        if not isinstance(session, dict):
            return
        total = _total(session.get("model_usage") or {}, session.get("total_cost_usd"))
        if self._base is None:
            self._base = total
        else:
            self._tell(total)

    def on_result(self, result: Mapping[str, Any]) -> None:
        """Take the end of the turn; what it says was told at least once then, also zeros."""
        total = _total(result.get("modelUsage") or {}, result.get("total_cost_usd"))
        if all(total[name] >= (self._base or {}).get(name, 0) for name in total):
            self._tell(total, last=True)
        else:  # a result that does not count from the conversation's start
            self._emit(total)

    def _tell(self, total: Mapping[str, float], *, last: bool = False) -> None:
        base = self._base or {}
        used = {name: total[name] - base.get(name, 0) for name in total}
        if used != self._told and (last or any(used.values())):
            self._emit(used)

    def _emit(self, used: dict[str, float]) -> None:
        self._told = used
        tokens = {name: int(used[name]) for name in _CLASSES}
        self._outbox.emit(EventType.USAGE_UPDATE, **tokens, costUsd=round(used["costUsd"], _DECIMALS))


def _total(models: Mapping[str, Mapping[str, Any]], cost: Any) -> dict[str, float]:
    """Return the sum over the models by our names. Where the CLI does not tell the two kinds of cache writes apart (2.1.197),
    they are counted as the short one."""
    total = {ours: float(sum(model.get(theirs) or 0 for model in models.values())) for ours, theirs in _CLASSES.items()}
    written = float(sum(model.get("cacheCreationInputTokens") or 0 for model in models.values()))
    total["cacheWrite5m"] = max(total["cacheWrite5m"], written - total["cacheWrite1h"])
    return {**total, "costUsd": float(cost or 0)}
