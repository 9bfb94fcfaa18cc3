"""Looking at the parts that a process needs, all at once and never for long: who asks whether Paddock is ready wants to know it now."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from app import db

Check = Mapping[str, Any]
PATIENCE_SECONDS = 4.0


class Probes:
    """One look per part at a time: a part that stays silent holds one thread, however often it is asked about."""

    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._looks: dict[str, _Look] = {}

    def all(self, probes: Mapping[str, Callable[[], Check]]) -> dict[str, Check]:
        """Return what each probe says; `failed` for one that says nothing in time."""
        end = time.monotonic() + self._patience
        looks = {name: self._look(name, probe) for name, probe in probes.items()}
        return {name: look.result(end) for name, look in looks.items()}

    def _look(self, name: str, probe: Callable[[], Check]) -> _Look:
        with self._lock:
            found = self._looks.get(name)
            if found is None or found.done.is_set():
                found = self._looks[name] = _Look(probe)
        return found


class _Look:
    """One probe on its way, in a thread of its own."""

    def __init__(self, probe: Callable[[], Check]) -> None:
        self.done = threading.Event()
        self._probe = probe
        self._found: Check = {"status": "failed", "error": "it could not be looked at"}
        threading.Thread(target=self._run, name="probe", daemon=True).start()

    def result(self, end: float) -> Check:
        """Wait for it until `end` by the monotonic clock."""
        if not self.done.wait(max(0.0, end - time.monotonic())):
            return {"status": "failed", "error": f"no answer within {PATIENCE_SECONDS:g} s"}
        return self._found

    def _run(self) -> None:
        try:
            with db.connection():
                self._found = self._probe()
        finally:
            self.done.set()
