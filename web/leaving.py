"""How a web process goes: its streams end at once (their clients come back with their cursor), requests at work are finished,
and connections that only wait for another request hold nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from werkzeug.wsgi import ClosingIterator

LOOK_SECONDS = 0.05


class AtWork:
    """A WSGI application that counts the requests which are not answered to their last byte yet."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.count = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self._add(1)
        try:
            answer = self._inner(environ, start_response)
        except BaseException:
            self._add(-1)
            raise
        return ClosingIterator(answer, lambda: self._add(-1))

    def _add(self, number: int) -> None:
        with self._lock:
            self.count += number


def watch(worker: Any) -> None:
    """Look after a gunicorn worker that is told to go; gunicorn itself would wait for every open connection."""
    app = worker.wsgi
    app.wsgi_app = at_work = AtWork(app.wsgi_app)

    def leave() -> None:
        while worker.alive:
            time.sleep(2 * LOOK_SECONDS)
        app.extensions["paddock"].hub.close()
        app.extensions["paddock"].container.counters.flush()
        while at_work.count:
            time.sleep(LOOK_SECONDS)
        app.extensions["paddock"].reporter.leave()
        worker.cfg.set("graceful_timeout", 0)  # read again in each round of gunicorn's waiting

    threading.Thread(target=leave, name="leaving", daemon=True).start()
