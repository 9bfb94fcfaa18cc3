"""Logging: one JSON line per entry on stderr. The message is a fixed lower-case phrase, facts are fields."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson
from loguru import logger
from loguru._logger import context as _context  # the only way to read what contextualize() holds

from app import ids

if TYPE_CHECKING:
    from loguru import Message

__all__ = ["configure", "current_labels", "logger"]

_WIRE = {"trace_id": "traceId", "session_id": "sessionId", "run_id": "runId", "executor_id": "executorId"}


def configure(component: str, *, level: str = "INFO", as_json: bool = True) -> None:
    """Send entries to stderr with `component`. `logger.contextualize(trace_id, session_id, run_id, executor_id)` adds the rest."""
    logger.remove()
    logger.configure(extra={"component": component})
    if as_json:
        logger.add(_write_json, level=level, diagnose=False)
    else:
        logger.add(sys.stderr, level=level, diagnose=False)


def current_labels() -> dict[str, str]:
    """Return what `logger.contextualize` holds here and now, for the trace headers of calls to other processes."""
    return {name: str(value) for name, value in _context.get().items()}


def _write_json(message: Message) -> None:
    record = message.record
    line: dict[str, Any] = {
        "ts": ids.rfc3339(record["time"]),
        "level": record["level"].name.lower(),
        "message": record["message"],
        **{_WIRE.get(name, name): value for name, value in record["extra"].items()},
    }
    if record["exception"] is not None:
        line["exception"] = str(record["exception"].value)
        line["trace"] = str(message).partition("\n")[2]
    sys.stderr.write(orjson.dumps(line, default=str).decode() + "\n")
