"""The journal of one agent process as the product sees it: numbered records. Writing it is the executor's work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import orjson

RecordKind = Literal["spawn", "out", "err", "in", "ctl", "idle", "exit", "cut"]


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `n` = 1, 2, 3… without gaps, `t` POSIX seconds by the executor's clock, `data` raw bytes.

    `spawn` and `ctl` carry JSON; `out`, `err` and `in` one line without its newline; `cut` JSON `{size, sha256, stream}`;
    `exit` JSON `{exit: "code:0" | "signal:9" | "executor_lost" | "spawn_failed: …"}`; `idle` nothing.
    """

    n: int
    t: float
    kind: RecordKind
    data: bytes = b""
    key: str | None = None
    epoch: int | None = None

    def json(self) -> Any:
        """Return the record's data as JSON; raises `orjson.JSONDecodeError` (a ValueError) where it is not."""
        return orjson.loads(self.data)


def agent_id(run_id: str, attempt: int) -> str:
    """Return the name of the agent process of one attempt, the same for every holder of the run."""
    return f"{run_id}.{attempt}"
