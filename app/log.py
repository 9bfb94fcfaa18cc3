"""Logging: one JSON line per entry on stderr. The message is a fixed lower-case phrase, facts are fields.

Every line has `component`, `traceId`, `sessionId`, `runId` and `executorId`, null where there is none. The executor writes lines of
the same form by itself (`executor.log`): it imports nothing from here.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from loguru import logger
from loguru._logger import context as _context  # the only way to read what contextualize() holds

from app import ids

if TYPE_CHECKING:
    from loguru import Message

__all__ = [
    "capture",
    "configure",
    "current_labels",
    "in_this_context",
    "label",
    "logger",
    "start_context",
]

T = TypeVar("T")
_LABELS = ("trace_id", "session_id", "run_id", "executor_id")
_SHORTEST_SECRET = 8


def configure(component: str, *, level: str = "INFO", as_json: bool = True, secrets: Sequence[str] = ()) -> None:
    """Send entries to stderr with `component`. `logger.contextualize(trace_id, session_id, run_id, executor_id)` adds the rest.
    What is among `secrets` is never written, whoever put it into an error's text."""
    logger.remove()
    logger.configure(extra={"component": component})
    if as_json:
        hidden = tuple(orjson.dumps(text).decode()[1:-1] for text in secrets if len(text) >= _SHORTEST_SECRET)
        logger.add(functools.partial(_write_json, hidden=hidden), level=level, diagnose=False)
    else:
        logger.add(sys.stderr, level=level, diagnose=False)


def capture() -> None:
    """Have libraries' warnings and the last words of dying threads written in the same form, for a process of its own."""
    root = logging.getLogger()
    root.handlers = [LibraryHandler()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _process_died
    threading.excepthook = _thread_died


def current_labels() -> dict[str, str]:
    """Return what `logger.contextualize` holds here and now, for the trace headers of calls to other processes."""
    return {name: str(value) for name, value in _context.get().items()}


def label(**labels: str | None) -> None:
    """Add labels to all further entries of this context (a request, the life of a lease), for what is known only later."""
    _context.set({**_context.get(), **{name: value for name, value in labels.items() if value}})


def start_context(**labels: str) -> None:
    """Forget all labels of this context but these: another request begins on the same thread."""
    _context.set(dict(labels))


def in_this_context(work: Callable[[], T]) -> Callable[[], T]:
    """Return `work` with the labels of here and now, to be called in another thread."""
    return functools.partial(contextvars.copy_context().run, work)


class LibraryHandler(logging.Handler):
    """Takes the entries of Python's own logging."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "ERROR" if record.levelno >= logging.ERROR else record.levelname
        entry = logger.opt(exception=record.exc_info).bind(library=record.name, text=record.getMessage())
        entry.log(level if level in ("DEBUG", "INFO", "WARNING", "ERROR") else "WARNING", "library said")


def _process_died(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.opt(exception=(kind, error, trace)).error("process died")


def _thread_died(told: threading.ExceptHookArgs) -> None:
    if told.exc_type is not SystemExit and told.exc_value is not None:
        name = told.thread.name if told.thread else ""
        logger.opt(exception=(told.exc_type, told.exc_value, told.exc_traceback)).error("thread died", thread=name)


def _write_json(message: Message, hidden: Sequence[str] = ()) -> None:
    record = message.record
    extra = record["extra"]
    line: dict[str, Any] = {
        "ts": ids.rfc3339(record["time"]),
        "level": record["level"].name.lower(),
        "message": record["message"],
        "component": extra.get("component"),
        **{_wire_name(name): extra.get(name) for name in _LABELS},
        **{_wire_name(name): value for name, value in extra.items() if name not in _LABELS},
    }
    if record["exception"] is not None:
        line["exception"] = str(record["exception"].value)
        line["trace"] = str(message).partition("\n")[2]
    text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    for secret in hidden:
        text = text.replace(secret, "***")
    sys.stderr.write(text + "\n")


@functools.cache
def _wire_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
