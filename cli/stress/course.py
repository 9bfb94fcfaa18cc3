"""The order of events of a stress test: is the provider ready, one trial, the runs, and where ready or trial failed a probe of the
fallback. What goes wrong goes into the report; nothing here ends the test but its end, and Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from cli.errors import CommandFailed
from cli.stress.findings import Json, Plan, Report, Watched
from cli.stress.watching import TRIAL, Watch

if TYPE_CHECKING:
    from cli.client import Client

Tell = Callable[[Watched], None]
"""Called with each run when it ended; one call at a time."""


class Course:
    """One stress test. `tell` is called from several threads, never at once."""

    def __init__(self, client: Client, plan: Plan, tell: Tell) -> None:
        self._client, self._plan, self._tell = client, plan, tell
        self._telling = threading.Lock()
        self._open: set[Watch] = set()
        self._halted = threading.Event()
        self.report = Report(plan, client.url, _now())

    def look(self) -> Json:
        """Ask the server whether the provider is ready; raises CommandFailed where there is no such provider."""
        body = {"model": self._plan.model} if self._plan.model else {}
        path = f"/api/providers/{quote(self._plan.provider, safe='')}/preflight"
        found = self._client.post(path, body)
        checks = [{name: check.get(name) for name in ("name", "ok", "message", "remedy")} for check in found["checks"]]
        self.report.precheck = {"ok": bool(found["ok"]), "checks": checks}
        return self.report.precheck

    def run(self) -> None:
        """Run it; after KeyboardInterrupt what is open is stopped, and the report holds what ended."""
        report, plan = self.report, self._plan
        with ThreadPoolExecutor(plan.concurrency, thread_name_prefix="stress") as pool:
            try:
                report.trial = pool.submit(self._watch, TRIAL, plan.provider).result()
                if plan.fallback and not (report.precheck.get("ok") and report.trial.outcome == "succeeded"):
                    report.probe = pool.submit(self._watch, plan.fallback, plan.fallback).result()
                total = plan.iterations
                names = [f"{number}/{total}" for number in range(1, total + 1)]
                for each in [pool.submit(self._iterate, name) for name in names]:
                    each.result()
            except KeyboardInterrupt:
                report.interrupted = True
                self._halted.set()
                for watch in list(self._open):
                    watch.stop()
        report.finished_at = _now()

    def _iterate(self, name: str) -> None:
        if not self._halted.is_set():
            self.report.runs.append(self._watch(name, self._plan.provider))

    def _watch(self, name: str, provider: str) -> Watched:
        watch = Watch(self._client, self._plan, provider, name)
        self._open.add(watch)
        try:
            watched = watch.run()
        finally:
            self._open.discard(watch)
        with self._telling:
            self._tell(watched)
        self._leave(watched)
        return watched

    def _leave(self, watched: Watched) -> None:
        """Have the sandbox of an ended run stopped; it would idle beside those of the next ones."""
        if watched.session_id and watched.outcome != "transport_error":
            with suppress(CommandFailed):
                path = f"/api/session-workers/{quote(watched.session_id, safe='')}/stop"
                self._client.post(path, {"timeoutMs": 0})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
